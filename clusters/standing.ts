import { existsSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import { lives } from './identity.ts'
import type { MeshValues } from './manifests/values/read.ts'
import { stateDirectory } from './registry.ts'
import type { Topology } from './topology.ts'

const identitySchema = z.object({ pid: z.number(), starttime: z.string(), boot: z.string(), pidns: z.string() })

const handleFields = { id: z.string(), kubeconfig: z.string() }
const nodeFields = { name: z.string(), address: z.string() }

const standingSchema = z.object({
  schema: z.literal(1),
  name: z.string(),
  mode: z.string(),
  release: z.string(),
  /** As the command was given it. */
  topologyGiven: z.string(),
  /** What a values file says of the mesh, and the file as the command was given it. */
  values: z
    .unknown()
    .transform((value) => value as MeshValues)
    .optional(),
  valuesGiven: z.string().optional(),
  topology: z.unknown().transform((value) => value as Topology),
  /** What nodes of kind were started from, if not our own image. */
  nodeImage: z.string().optional(),
  /** Of what it was made (`fingerprintOf`). */
  fingerprint: z.string(),
  startedAt: z.string(),
  handle: z.discriminatedUnion('provider', [
    z.object({ ...handleFields, provider: z.literal('lab'), nodes: z.array(z.object({ ...nodeFields, initPid: z.number() })).readonly() }),
    z.object({
      ...handleFields,
      provider: z.literal('kind'),
      nodes: z.array(z.object({ ...nodeFields, container: z.string() })).readonly(),
      docker: z.object({ host: z.string().optional(), networkOf: z.number().optional() }),
    }),
  ]),
  /** The process that holds it: it ends with the cluster, and the cluster with it. */
  keeper: identitySchema,
})

/** A cluster with mesh and apps that was brought up to stay. Its record lies among the cluster's own files and goes with them. */
export type Standing = z.infer<typeof standingSchema>

const fileOf = (id: string) => join(stateDirectory(), 'files', id, 'standing.json')

export function writeStanding(standing: Standing): void {
  const file = fileOf(standing.handle.id)
  writeFileSync(`${file}.new`, JSON.stringify(standing), { mode: 0o600 })
  renameSync(`${file}.new`, file)
}

/** The clusters that are up on this host, by name. One whose keeper is dead is not up: `clean` removes what is left of it. */
export function listStanding(): Standing[] {
  const files = join(stateDirectory(), 'files')
  if (!existsSync(files)) return []
  return readdirSync(files)
    .flatMap((id) => {
      try {
        const read = standingSchema.safeParse(JSON.parse(readFileSync(fileOf(id), 'utf8')))
        return read.success && lives(read.data.keeper) ? [read.data] : []
      } catch {
        // None was written, or it is going just now.
        return []
      }
    })
    .sort((a, b) => (a.name < b.name ? -1 : 1))
}

/** A cluster that cannot be named: which are up, and the fix. */
export class StandingError extends Error {
  override name = 'StandingError'
}

/**
 * The cluster of this name; without one, the only one that is up.
 * @param named how the command is told a name
 * @throws StandingError
 */
export function findStanding(name: string | undefined, named = '--cluster'): Standing {
  const all = listStanding()
  const names = all.map((s) => s.name).join(', ')
  if (all.length === 0) throw new StandingError('no cluster is up; fix: everyhop up')
  const found = name === undefined ? all : all.filter((s) => s.name === name)
  if (found.length === 0) throw new StandingError(`no cluster ${name} is up; fix: use one of: ${names}`)
  if (found.length > 1)
    throw new StandingError(`several clusters are up; fix: say which: ${found.map((s) => `${named} ${s.name}`).join(', or ')}`)
  return found[0]!
}
