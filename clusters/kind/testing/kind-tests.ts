import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll } from 'vitest'
import { Registry } from '../../registry.ts'
import { loadTopology } from '../../topology.ts'
import type { Docker } from '../docker/docker.ts'
import { findDocker } from '../docker/find-docker.ts'
import type { KindOptions } from '../kind.ts'
import { partsOf } from '../remove.ts'

export const topology = loadTopology('two-nodes')

/** A state folder of the test file's own, and what Docker has of a cluster. */
export class KindTests {
  /** `kind.log` is here. */
  state = ''
  docker!: Docker

  constructor() {
    beforeAll(async () => {
      this.state = mkdtempSync(join(tmpdir(), 'everyhop-kind-'))
      process.env.EVERYHOP_STATE_DIR = this.state
      this.docker = await findDocker()
    })
    afterAll(() => {
      delete process.env.EVERYHOP_STATE_DIR
      rmSync(this.state, { recursive: true, force: true })
    })
  }

  optionsOf(id: string, more: Partial<KindOptions> = {}): KindOptions {
    const directory = join(this.state, 'files', id)
    Registry.open(id).register({ kind: 'directory', path: directory })
    mkdirSync(directory, { recursive: true })
    return { id, topology, directory, logDirectory: this.state, ...more }
  }

  /** Names of the volumes that the cluster's containers have. */
  async volumesOf(id: string): Promise<string[]> {
    const { containers } = await partsOf(this.docker, id)
    const format = '{{range .Mounts}}{{if eq .Type "volume"}}{{println .Name}}{{end}}{{end}}'
    return this.docker.lines(['inspect', '--format', format, ...containers])
  }

  /** What Docker has of a cluster. Others may use the same Docker. */
  async left(id: string, volumes: readonly string[] = []): Promise<string[]> {
    const { containers, networks } = await partsOf(this.docker, id)
    const all = await this.docker.lines(['volume', 'ls', '--quiet'])
    return [...containers, ...networks, ...volumes.filter((name) => all.includes(name))]
  }
}
