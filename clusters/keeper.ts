import type { Cluster } from './cluster.ts'
import { createCluster } from './create.ts'
import { fingerprintOf } from './fingerprint.ts'
import { ownIdentity } from './identity.ts'
import { deployApps, installMesh } from './install.ts'
import { listStanding, writeStanding } from './standing.ts'
import { untilAborted } from './until-aborted.ts'
import type { FromKeeper, KeeperOptions } from './up.ts'

// The process that holds a cluster which is up. Until it stands, the end of its channel is the end of it; then SIGTERM is.
const { name, provider, nodeImage, mode, release, topology, topologyGiven, values, valuesGiven } = JSON.parse(
  process.argv[2] ?? '{}',
) as KeeperOptions
const say = (message: FromKeeper) => {
  if (process.connected) process.send?.(message, undefined, undefined, () => {})
}
const aborting = new AbortController()
let cluster: Cluster | undefined
let stands = false

async function end(code: number): Promise<never> {
  try {
    await cluster?.[Symbol.asyncDispose]()
  } catch (error) {
    say({ say: 'problem', message: (error as Error).message })
    code = 3
  }
  process.exit(code)
}

process.on('SIGINT', () => {})
process.on('SIGTERM', () => (stands ? void end(0) : aborting.abort(new Error('interrupted'))))
process.on('disconnect', () => {
  if (!stands) aborting.abort(new Error('whoever asked for it has gone'))
})
process.on('uncaughtException', (error) => {
  say({ say: 'problem', message: error.stack ?? error.message })
  void end(3)
})

try {
  const { signal } = aborting
  const stage = (what: string) => {
    signal.throwIfAborted()
    say({ say: 'progress', line: what })
  }
  // Before anything is read: what changes meanwhile makes it another one.
  const fingerprint = fingerprintOf(topology, nodeImage)
  stage(`starting ${topology.nodes.length} nodes`)
  cluster = await createCluster(provider, topology, {
    ...(nodeImage ? { nodeImage } : {}),
    signal,
    label: `everyhop up --name ${name}`,
    onProgress: (line) => say({ say: 'progress', line }),
  })
  stage(`installing the mesh (mode ${mode}, release ${release})`)
  await untilAborted(installMesh(cluster, { ...values, mode, release }), signal)
  stage(`starting ${topology.pods.length} pods`)
  await untilAborted(deployApps(cluster, topology, { mode, release }), signal)
  signal.throwIfAborted()
  if (listStanding().some((s) => s.name === name)) throw new Error(`another cluster ${name} came up meanwhile; fix: use another --name`)
  const standing = {
    schema: 1,
    name,
    mode,
    release,
    topology,
    topologyGiven,
    ...(nodeImage ? { nodeImage } : {}),
    fingerprint,
    ...(values ? { values, valuesGiven } : {}),
    startedAt: new Date().toISOString(),
    handle: cluster.handle,
    keeper: ownIdentity(),
  } as const
  writeStanding(standing)
  stands = true
  say({ say: 'stands', standing })
} catch (error) {
  say({ say: 'problem', message: (error as Error).message })
  await end(3)
}
