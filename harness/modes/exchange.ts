import { atEnds, back, bytes, type Device, type Flow, type Hop, hop, type Order, order, type Row, type TokenProof, token } from './path.ts'
import type { BoundCase } from './place.ts'

const orders: Partial<Record<BoundCase['case']['exchange'], Order>> = {
  'client-half-close': 'client-ends-first',
  'server-half-close': 'server-ends-first',
  'server-first': 'server-speaks-first',
}

/** What a bulk exchange sends each way; its tokens are in the first and the last 4 KiB. */
const BULK = 8 << 20
const TOKENS_WITHIN = 4 << 10
/** In a tunnel they come with the tunnel's own bytes around them. */
const SEALED_WITHIN = 8 << 10

/** The token in both directions of a connection; of a bulk exchange only its ends were kept. */
export function tokenIn(c: BoundCase, at: Device, row: Row, forward: Flow, backward: Flow = back(forward)): TokenProof {
  const proof = token(at, row, forward, backward)
  return c.case.exchange === 'bulk' ? atEnds(proof, row === 'clear' ? TOKENS_WITHIN : SEALED_WITHIN) : proof
}

/** What ztunnel's log must count. */
export const counted = ({ case: { exchange } }: BoundCase): Record<string, string> =>
  exchange === 'bulk' ? { bytes_sent: `${BULK}`, bytes_recv: `${BULK}` } : {}

/** What a case's exchange adds to a connection in clear, where it can be seen both ways: the order in which its sides speak and end. */
export function exchanged(c: BoundCase, at: Device, forward: Flow, backward?: Flow): Omit<Hop, 'id'>[] {
  if (c.case.exchange === 'bulk') return [hop('carries every byte', at, bytes(at, BULK, forward, backward))]
  const wanted = orders[c.case.exchange]
  return wanted ? [hop('keeps the order of the exchange', at, order(at, wanted, forward, backward))] : []
}
