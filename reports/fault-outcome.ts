import type { FaultResult } from './faults.ts'

/** Got through, though the traffic should have told. */
export const gotThrough = ({ outcome, equivalent }: Pick<FaultResult, 'outcome' | 'equivalent'>): boolean =>
  outcome === 'missed' || (outcome === 'equivalent' && equivalent === undefined)

/** Caught at the very hop that was written down before. */
export const asExpected = ({ traffic, expected }: Pick<FaultResult, 'traffic' | 'expected'>): boolean =>
  traffic !== undefined && traffic.hop === expected.hop && traffic.case === expected.case
