import { spawn } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Provider } from './create.ts'
import { lives } from './identity.ts'
import { nodeFlags, pinnedNode } from './lab/node/root.ts'
import type { MeshValues } from './manifests/values/read.ts'
import { clean } from './registry.ts'
import type { Standing } from './standing.ts'
import type { Topology } from './topology.ts'

/** What a keeper is told at its start. */
export interface KeeperOptions {
  readonly name: string
  readonly provider: Provider
  readonly nodeImage?: string | undefined
  readonly mode: string
  readonly release: string
  readonly topology: Topology
  readonly topologyGiven: string
  /** What a values file says of the mesh, and the file as the command was given it. */
  readonly values?: MeshValues | undefined
  readonly valuesGiven?: string | undefined
}

export type FromKeeper =
  | { readonly say: 'progress'; readonly line: string }
  | { readonly say: 'stands'; readonly standing: Standing }
  /** It does not come up, or could not be taken down whole. */
  | { readonly say: 'problem'; readonly message: string }

/** How long a cluster may take to end by itself, milliseconds. */
const endMs = 30_000

/**
 * Brings up a cluster with mesh and apps that stays when this process ends.
 * @param signal ends the start early, with nothing left behind
 * @throws Error that says why it does not stand; nothing of it is left then
 */
export async function bringUp(options: KeeperOptions, onProgress: (line: string) => void, signal: AbortSignal): Promise<Standing> {
  signal.throwIfAborted()
  const keeper = spawn(pinnedNode, [...nodeFlags, new URL('keeper.ts', import.meta.url).pathname, JSON.stringify(options)], {
    // A session of its own: Ctrl-C on this terminal, now or later, is not for it.
    detached: true,
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
  })
  const abort = () => keeper.kill('SIGTERM')
  signal.addEventListener('abort', abort)
  const problems: string[] = []
  const { promise, resolve, reject } = Promise.withResolvers<Standing>()
  keeper.on('message', (message: FromKeeper) => {
    if (message.say === 'progress') onProgress(message.line)
    else if (message.say === 'stands') resolve(message.standing)
    else problems.push(message.message)
  })
  keeper.on('error', reject)
  keeper.once('exit', (code, by) => reject(new Error(problems.join('\n') || `the cluster's keeper ended (${by ?? `exit code ${code}`})`)))
  try {
    const standing = await promise
    keeper.disconnect()
    keeper.unref()
    return standing
  } finally {
    signal.removeEventListener('abort', abort)
  }
}

/** Takes a cluster down, with all that is of it. @throws Error when something of it stays */
export async function takeDown({ keeper, handle, name }: Standing): Promise<void> {
  if (lives(keeper)) process.kill(keeper.pid, 'SIGTERM')
  const deadline = performance.now() + endMs
  while (lives(keeper)) {
    if (performance.now() > deadline) process.kill(keeper.pid, 'SIGKILL')
    await sleep(20)
  }
  // What a keeper that was killed, now or before, could not remove.
  const { failed } = await clean([handle.id])
  const problems = failed.flatMap((f) => f.problems)
  if (problems.length > 0) throw new Error(`cluster ${name}: not everything could be removed: ${problems.join('; ')}`)
}
