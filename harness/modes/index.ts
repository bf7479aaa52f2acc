import { disruptionsOf } from '../disruption/cells.ts'
import { casesOf } from '../matrix/cases.ts'
import type { Case } from '../matrix/cell.ts'
import type { Fault } from './fault.ts'
import { faults as inpodFaults } from './inpod/faults/index.ts'
import { path as inpodPath } from './inpod/path.ts'
import { limit as inpodLimit, releaseNames } from './inpod/releases.ts'
import { audit as inpodAudit } from './inpod/state.ts'
import type { Path } from './path.ts'
import type { BoundCase } from './place.ts'
import type { Audit } from './state.ts'

/** A mode as the harness sees it: what must be seen. */
export interface Mode {
  readonly name: string
  /** The releases whose behaviour its tables describe. */
  readonly releases: readonly string[]
  /** Why a cell cannot be in its release, by a row of the facts; undefined: it can. */
  readonly limit: (c: Case) => string | undefined
  readonly path: (c: BoundCase) => Path
  /** By release. */
  readonly faults: Readonly<Record<string, readonly Fault[]>>
  readonly audit: Audit
}

const modes: readonly Mode[] = [
  { name: 'inpod', releases: releaseNames, limit: inpodLimit, path: inpodPath, faults: inpodFaults, audit: inpodAudit },
]

export const modeNames = modes.map((m) => m.name)

/** @throws RangeError that names the modes there are */
export function modeOf(name: string): Mode {
  const mode = modes.find((m) => m.name === name)
  if (!mode) throw new RangeError(`there is no mode ${name}; use one of: ${modeNames.join(', ')}`)
  return mode
}

/** @throws RangeError when a mode has not one of the releases, naming those that it has */
export const casesOfModes = (names: readonly string[], releases: readonly string[]) => ofModes(names, releases, casesOf)

/** @throws as `casesOfModes` */
export const disruptionsOfModes = (names: readonly string[], releases: readonly string[]) => ofModes(names, releases, disruptionsOf)

const ofModes = <T>(names: readonly string[], releases: readonly string[], of: (mode: string, release: string) => T[]): T[] =>
  names.flatMap((name) => {
    const mode = modeOf(name)
    const unknown = releases.find((r) => !mode.releases.includes(r))
    if (unknown !== undefined) throw new RangeError(`mode ${name} has no release ${unknown}; use one of: ${mode.releases.join(', ')}`)
    return releases.flatMap((release) => of(name, release))
  })

export const faultsOf = (name: string, release: string): readonly Fault[] => modeOf(name).faults[release] ?? []
