import type { Topology } from '../../clusters/topology.ts'
import type { Disruption } from '../disruption/cells.ts'
import type { Case } from '../matrix/cell.ts'
import { networkLimitOf } from '../modes/index.ts'
import type { NotRun } from '../run/context.ts'

/** Of these cells, those whose mode can be on the topology's nodes; the others with the reason why not. */
export function possibleOn<T extends Case | Disruption>(topology: Topology, cells: readonly T[]): { possible: T[]; notRun: NotRun[] } {
  const reasonOf = ({ mode }: T) => networkLimitOf(mode, topology)
  return {
    possible: cells.filter((c) => reasonOf(c) === undefined),
    notRun: cells.flatMap((c) => {
      const reason = reasonOf(c)
      return reason === undefined ? [] : [{ id: c.id, mode: c.mode, release: c.release, reason }]
    }),
  }
}
