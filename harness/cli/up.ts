import type { Provider } from '../../clusters/create.ts'
import { fingerprintOf } from '../../clusters/fingerprint.ts'
import { containersInDaemon, stopDaemon } from '../../clusters/kind/docker/daemon.ts'
import { type MeshValues, ValuesError } from '../../clusters/manifests/values/read.ts'
import { findStanding, listStanding, type Standing, StandingError } from '../../clusters/standing.ts'
import { loadTopology, TopologyError } from '../../clusters/topology.ts'
import { bringUp, takeDown } from '../../clusters/up.ts'
import { type Mesh, meshesOf, networkLimitOf } from '../modes/index.ts'
import { whenAskedToEnd } from './asked-to-end.ts'
import { ProgressView } from './progress.ts'
import { mayMakeNamespaces } from './root.ts'
import { usage } from './run.ts'
import { standingText } from './standing-text.ts'
import { modesOf, valuesOf } from './values.ts'

export interface UpArguments {
  readonly name: string
  readonly provider: Provider
  readonly nodeImage?: string
  /** @default what the values file says, else the usual one */
  readonly mode?: string
  /** @default the mode's usual one */
  readonly release?: string
  readonly topology: string
  readonly values?: string
  readonly json: boolean
}

/** `everyhop up`: a cluster with mesh and apps that stays. @returns the exit code */
export async function up(args: UpArguments): Promise<number> {
  const { name, provider, nodeImage, topology: given, values: valuesGiven, json } = args
  const tell = (s: Standing, how: string) => process.stdout.write(json ? `${JSON.stringify(s, null, 1)}\n` : `${standingText(s, how)}\n`)
  if (!/^[a-z0-9][a-z0-9-]{0,40}$/.test(name)) return usage(`--name ${name}: use lower-case letters, digits and dashes`)
  let values: MeshValues | undefined
  let mesh: Mesh
  try {
    values = valuesOf(valuesGiven, args.mode === undefined ? undefined : [args.mode])
    mesh = meshesOf(
      modesOf(args.mode === undefined ? undefined : [args.mode], values),
      args.release === undefined ? undefined : [args.release],
    )[0]!
  } catch (error) {
    if (!(error instanceof RangeError || error instanceof ValuesError)) throw error
    return usage(error.message)
  }
  const { mode, release } = mesh
  const there = listStanding().find((s) => s.name === name)
  if (there) {
    const different =
      there.handle.provider !== provider ||
      there.mode !== mode ||
      there.release !== release ||
      there.topologyGiven !== given ||
      there.valuesGiven !== valuesGiven
    if (different)
      return usage(
        `cluster ${name} stands with provider ${there.handle.provider}, mode ${there.mode}, release ${there.release}, topology ${there.topologyGiven}${there.valuesGiven ? `, values ${there.valuesGiven}` : ''}; fix: use another --name, or everyhop down ${name}`,
      )
  }
  let topology: ReturnType<typeof loadTopology>
  try {
    topology = loadTopology(given)
  } catch (error) {
    if (!(error instanceof TopologyError)) throw error
    return usage(error.message)
  }
  const limit = networkLimitOf(mode, topology)
  if (limit) return usage(`topology ${given}: ${limit}; fix: another topology, or mode`)
  if (there) {
    if (there.fingerprint !== fingerprintOf(topology, nodeImage))
      return usage(
        `cluster ${name} stands, but its topology, its images or their manifests have changed since; fix: everyhop down ${name}, then up again`,
      )
    tell(there, 'stands already')
    return 0
  }
  if (!mayMakeNamespaces('up')) return 3
  const progress = new ProgressView(process.stderr)
  const ending = new AbortController()
  whenAskedToEnd(() => ending.abort(new Error('interrupted')))
  const started = performance.now()
  try {
    const standing = await bringUp(
      { name, provider, nodeImage, mode, release, topology, topologyGiven: given, values, valuesGiven },
      (line) => progress.doing(line),
      ending.signal,
    )
    progress.end()
    tell(standing, `stands after ${((performance.now() - started) / 1000).toFixed(1)} s`)
    return 0
  } catch (error) {
    progress.end()
    process.stderr.write(`everyhop: cluster ${name} does not stand: ${(error as Error).message}\n`)
    return 3
  }
}

/** `everyhop down`. @returns the exit code */
export async function down(name: string | undefined, { all }: { all: boolean }): Promise<number> {
  let standing: readonly Standing[] = listStanding()
  try {
    if (name !== undefined || (!all && standing.length > 0)) standing = [findStanding(name, 'down')]
  } catch (error) {
    if (!(error instanceof StandingError)) throw error
    return usage(error.message)
  }
  if (standing.length === 0) process.stdout.write('no cluster is up\n')
  let code = 0
  for (const s of standing) {
    const started = performance.now()
    try {
      await takeDown(s)
      process.stdout.write(`cluster ${s.name} is taken down (${((performance.now() - started) / 1000).toFixed(1)} s)\n`)
    } catch (error) {
      process.stderr.write(`everyhop: ${(error as Error).message}\n`)
      code = 3
    }
  }
  return (all && (await endDaemon())) || code
}

/** Our Docker daemon, unless somebody still needs it. @returns an exit code */
async function endDaemon(): Promise<number> {
  const containers = await containersInDaemon()
  if (containers.length > 0) {
    process.stderr.write(`everyhop: our Docker daemon goes on, it has containers of others: ${containers.join(', ')}\n`)
    return 3
  }
  if (await stopDaemon()) process.stdout.write('our Docker daemon is ended; what it has stored stays until everyhop clean --cache\n')
  return 0
}
