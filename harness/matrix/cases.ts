import type { Case } from './cell.ts'
import { abuseCells } from './cells/abuse.ts'
import { protocolCells } from './cells/protocols.ts'
import { requestCells } from './cells/requests.ts'

/** All cells of one mode in one release, in the order in which they run: a file of `cells/` for each kind. */
export function casesOf(mode: string, release = 'today'): Case[] {
  const cells = [...requestCells(mode), ...protocolCells(mode), ...abuseCells(mode)]
  return cells.map((c) => ({ ...c, id: `${batchName(mode, release)}/${shortId(c)}`, release }))
}

/** How ids name a mode in one of its releases: `MODE`, and `MODE@RELEASE` for others than today's. */
export const batchName = (mode: string, release: string) => (release === 'today' ? mode : `${mode}@${release}`)

/** A case's id without mode and release. */
export const shortId = ({ id }: Pick<Case, 'id'>) => id.slice(id.indexOf('/') + 1)
