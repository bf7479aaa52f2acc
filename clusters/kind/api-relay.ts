import { type ChildProcess, fork } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse, stringify } from 'yaml'
import { nodeFlags, pinnedNode } from '../lab/node/root.ts'
import { ownerVariable } from '../processes.ts'

/**
 * Makes a kubeconfig whose API server listens in another network namespace (of our own Docker daemon) usable from this host: through a relay, which ends with this process.
 * @param networkOf a process in that namespace
 */
export async function relayed(kubeconfig: string, networkOf: number, owner: string): Promise<ChildProcess> {
  const config = parse(readFileSync(kubeconfig, 'utf8')) as { clusters: { cluster: { server: string } }[] }
  const { cluster } = config.clusters[0]!
  const relay = fork(join(import.meta.dirname, 'relay.ts'), [String(networkOf), new URL(cluster.server).port], {
    execPath: pinnedNode,
    execArgv: [...nodeFlags],
    env: { ...process.env, [ownerVariable]: owner },
    // A session of its own: Ctrl-C is for whoever ends the cluster in order.
    detached: true,
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  })
  let words = ''
  relay.stderr?.setEncoding('utf8').on('data', (text: string) => {
    words = (words + text).slice(-2000)
  })
  const { promise, resolve, reject } = Promise.withResolvers<number>()
  relay.once('message', (port: number) => resolve(port))
  relay.once('error', reject)
  relay.once('exit', () => reject(new Error(`the relay to the API server ended: ${words.trim()}`)))
  cluster.server = `https://127.0.0.1:${await promise}`
  writeFileSync(kubeconfig, stringify(config), { mode: 0o600 })
  return relay
}
