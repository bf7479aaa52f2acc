import { type Disruption, disruptionsOf } from '../disruption/cells.ts'
import { casesOf } from '../matrix/cases.ts'
import type { Case } from '../matrix/cell.ts'
import type { Fault } from './fault.ts'
import { faults as inpodFaults } from './inpod/faults/index.ts'
import { path as inpodPath } from './inpod/path.ts'
import { limit as inpodLimit, releaseNames } from './inpod/releases.ts'
import { audit as inpodAudit } from './inpod/state.ts'
import { iptables } from './iptables/index.ts'
import type { Mode, Network } from './mode.ts'

const modes: readonly Mode[] = [
  { name: 'inpod', releases: releaseNames, complete: true, limit: inpodLimit, path: inpodPath, faults: inpodFaults, audit: inpodAudit },
  iptables,
]

export const modeNames = modes.map((m) => m.name)
/** Where nobody says which. */
export const usualMode = 'inpod'

/** @throws RangeError that names the modes there are */
export function modeOf(name: string): Mode {
  const mode = modes.find((m) => m.name === name)
  if (!mode) throw new RangeError(`there is no mode ${name}; use one of: ${modeNames.join(', ')}`)
  return mode
}

/** A mode in one of its releases: what a mesh is installed as. */
export interface Mesh {
  readonly mode: string
  readonly release: string
}

/** All that are complete, in order. */
export const completeMeshes: readonly Mesh[] = modes.filter((m) => m.complete).flatMap(meshesOfMode)

/** What a mode is in where nobody says which. */
export const usualRelease = (mode: string): string => modeOf(mode).releases[0]!

/**
 * What is meant by these modes and releases: each mode in those of the releases that it has, in the order in which they are named.
 * @param releases undefined: each mode in its usual one
 * @throws RangeError when a mode has none of the releases, or a release is no mode's, naming those that there are
 */
export function meshesOf(names: readonly string[], releases: readonly string[] | undefined): Mesh[] {
  const all = names.map(modeOf)
  const lacks = (mode: Mode, release: string) =>
    new RangeError(`mode ${mode.name} has no release ${release}; use one of: ${mode.releases.join(', ')}`)
  for (const release of releases ?? []) if (!all.some((m) => m.releases.includes(release))) throw lacks(all[0]!, release)
  return all.flatMap((mode) => {
    const mine = releases?.filter((r) => mode.releases.includes(r)) ?? [usualRelease(mode.name)]
    if (mine.length === 0) throw lacks(mode, releases!.join(', '))
    return mine.map((release) => ({ mode: mode.name, release }))
  })
}

/** Why a mode cannot be on the nodes of such a topology; undefined: it can. */
export const networkLimitOf = (mode: string, { network = 'ptp' }: { readonly network?: Network | undefined }): string | undefined =>
  modeOf(mode).networkLimit?.(network)

export const casesOfMeshes = (meshes: readonly Mesh[]): Case[] => meshes.flatMap(({ mode, release }) => casesOf(mode, release))

export const disruptionsOfMeshes = (meshes: readonly Mesh[]): Disruption[] =>
  meshes.flatMap(({ mode, release }) => disruptionsOf(mode, release))

export const faultsOf = (name: string, release: string): readonly Fault[] => modeOf(name).faults[release] ?? []

function meshesOfMode({ name, releases }: Mode): Mesh[] {
  return releases.map((release) => ({ mode: name, release }))
}
