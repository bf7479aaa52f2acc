import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { processesOf } from '../../processes.ts'
import { clean, newOwnerId } from '../../registry.ts'

test('nothing of pods is left after their kubelet was killed and the registry has cleaned up', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'everyhop-killed-'))
  const id = newOwnerId()
  const env = { ...process.env, EVERYHOP_STATE_DIR: join(directory, 'state') }
  const here = import.meta.dirname
  const source = `
    const { Registry } = await import('${here}/../../registry.ts')
    const { startFabric } = await import('${here}/../node/fabric.ts')
    const { startNode } = await import('${here}/../node/node.ts')
    const { startKubelet } = await import('${here}/kubelet.ts')
    const { FakeApi, testImages, testPod } = await import('${here}/testing.ts')
    const registry = Registry.open('${id}')
    const fabric = await startFabric({ registry })
    const node = await startNode({ name: 'orphan', index: 1, directory: '${directory}', registry, fabric })
    const api = new FakeApi()
    await startKubelet({ node, api, registry, images: testImages })
    for (const name of ['a', 'b']) api.set(testPod({ name, node }))
    await Promise.all(['a', 'b'].map((name) => api.ready(name)))
    console.log(node.cgroup)`
  const owner = spawn(process.execPath, ['--input-type=module', '-e', source], { env, stdio: ['ignore', 'pipe', 'inherit'] })
  const [line] = (await once(owner.stdout.setEncoding('utf8'), 'data')) as [string]
  const cgroup = line.trim()
  owner.kill('SIGKILL')
  await once(owner, 'exit')
  expect(readdirSync(join(cgroup, 'kubepods', 'besteffort')).filter((name) => name.startsWith('pod'))).toHaveLength(2)
  expect(processesOf(id).length).toBeGreaterThan(8)
  process.env.EVERYHOP_STATE_DIR = env.EVERYHOP_STATE_DIR
  expect(await clean([id])).toMatchObject({ cleaned: [{ id }], failed: [] })
  expect(processesOf(id)).toEqual([])
  expect(existsSync(cgroup)).toBe(false)
  expect(readFileSync('/proc/self/mountinfo', 'utf8')).not.toContain(directory)
  expect(readdirSync(directory)).toEqual(['state'])
  rmSync(directory, { recursive: true })
})
