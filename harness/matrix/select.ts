import { matchesGlob } from 'node:path'
import { shortId } from './cases.ts'
import type { Case } from './cell.ts'

export interface Selection {
  readonly quick: boolean
  /** Globs over case ids, with or without the mode in front; `!` takes away. None: all. */
  readonly globs: readonly string[]
}

type CaseName = Pick<Case, 'id' | 'mode' | 'release'>

/** The cases that a command asked for, in matrix order. With globs that all take away, the rest stays. A named case is run even if it is not a quick one. */
export function select<T extends CaseName & Pick<Case, 'quick'>>(cases: readonly T[], { quick, globs }: Selection): T[] {
  const wanted = globs.filter((g) => !g.startsWith('!'))
  const unwanted = globs.filter((g) => g.startsWith('!')).map((g) => g.slice(1))
  return cases.filter(
    (c) => (wanted.length > 0 ? wanted.some((g) => matches(c, g)) : !quick || c.quick) && !unwanted.some((g) => matches(c, g)),
  )
}

/** The cases that a glob means: by their id, or by what is left of it without mode and release. */
export const matching = <T extends CaseName>(cases: readonly T[], glob: string): T[] => cases.filter((c) => matches(c, glob))

const matches = (c: CaseName, glob: string) => [c.id, shortId(c)].some((id) => id === glob || matchesGlob(id, glob))
