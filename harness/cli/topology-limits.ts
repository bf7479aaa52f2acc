import type { Topology } from '../../clusters/topology.ts'
import type { Disruption } from '../disruption/cells.ts'
import type { Case } from '../matrix/cell.ts'
import { modeOf, networkLimitOf } from '../modes/index.ts'
import type { NotRun } from '../run/context.ts'

/** Of these cells, those that are possible: their mode can be on the topology's nodes, and its mesh be changed under load if they do that; the others with the reason why not. */
export function possibleOn<T extends Case | Disruption>(topology: Topology, cells: readonly T[]): { possible: T[]; notRun: NotRun[] } {
  const reasonOf = (c: T) => networkLimitOf(c.mode, topology) ?? ('disturbance' in c ? modeOf(c.mode).disruptionLimit : undefined)
  return {
    possible: cells.filter((c) => reasonOf(c) === undefined),
    notRun: cells.flatMap((c) => {
      const reason = reasonOf(c)
      return reason === undefined ? [] : [{ id: c.id, mode: c.mode, release: c.release, reason }]
    }),
  }
}
