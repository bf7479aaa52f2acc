import { casesOf } from '../matrix/cases.ts'
import * as inpod from './inpod/path.ts'
import type { Path } from './path.ts'
import type { BoundCase } from './place.ts'

/** A mode as the harness sees it: what must be seen. */
export interface Mode {
  readonly name: string
  /** The releases whose behaviour its tables describe. */
  readonly releases: readonly string[]
  readonly path: (c: BoundCase) => Path
}

const modes: readonly Mode[] = [{ name: 'inpod', releases: ['today'], path: inpod.path }]

export const modeNames = modes.map((m) => m.name)

/** @throws RangeError that names the modes there are */
export function modeOf(name: string): Mode {
  const mode = modes.find((m) => m.name === name)
  if (!mode) throw new RangeError(`there is no mode ${name}; use one of: ${modeNames.join(', ')}`)
  return mode
}

export const casesOfModes = (names: readonly string[]) => names.flatMap((name) => casesOf(modeOf(name).name))
