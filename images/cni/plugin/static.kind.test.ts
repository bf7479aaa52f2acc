import { join } from 'node:path'
import { execa } from 'execa'
import { beforeAll, describe } from 'vitest'
import { pluginClaims } from '../testing/plugin-claims.ts'

// The same claims for the executable that the agent's image carries. It is built by another folder's program, which is not this one's to import.
describe('as an executable that needs nothing of the node', () => {
  let program: string
  beforeAll(async () => {
    const builder = join(import.meta.dirname, '../../../clusters/kind/images/main.ts')
    const { stdout } = await execa(process.execPath, ['--v8-pool-size=0', builder, '--context', 'cni'])
    program = join(stdout, 'istio-cni')
  }, 300_000)
  pluginClaims(() => [program])
})
