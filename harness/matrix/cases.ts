import type { Case } from './cell.ts'
import { requestCells } from './cells/requests.ts'

/** All cells of one mode, in the order in which they run: a file of `cells/` for each kind. */
export function casesOf(mode: string): Case[] {
  return [...requestCells(mode)]
}
