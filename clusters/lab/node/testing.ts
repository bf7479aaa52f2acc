import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { newOwnerId, Registry } from '../../registry.ts'
import { type Fabric, startFabric } from './fabric.ts'
import { type LabNode, startNode } from './node.ts'

/** A small lab for tests: a registry, a fabric and nodes of its own; everything goes with `teardown`. */
export interface TestLab {
  readonly registry: Registry
  readonly directory: string
  readonly fabric: Fabric
  readonly nodes: readonly LabNode[]
  teardown(): Promise<void>
}

/** @param names of the nodes; the first gets index 1 */
export async function startTestLab(names: readonly string[]): Promise<TestLab> {
  const directory = mkdtempSync(join(tmpdir(), 'everyhop-lab-'))
  process.env.EVERYHOP_STATE_DIR = join(directory, 'state')
  const registry = Registry.open(newOwnerId())
  const fabric = await startFabric({ registry })
  const nodes = await Promise.all(names.map((name, i) => startNode({ name, index: i + 1, directory, registry, fabric })))
  const teardown = async () => {
    await Promise.all(nodes.map((node) => node.teardown()))
    await fabric.teardown()
    await registry.teardown()
    rmSync(directory, { recursive: true, force: true })
    const left = nodes.filter((node) => existsSync(node.cgroup)).map((node) => node.cgroup)
    if (left.length > 0) throw new Error(`left behind: ${left.join(', ')}`)
  }
  return { registry, directory, fabric, nodes, teardown }
}
