import { type Device, type Flow, type Hop, hop, type Order, order } from './path.ts'
import type { BoundCase } from './place.ts'

const orders: Partial<Record<BoundCase['case']['exchange'], Order>> = {
  'client-half-close': 'client-ends-first',
  'server-half-close': 'server-ends-first',
  'server-first': 'server-speaks-first',
}

/** What a case's exchange adds to a connection in clear, where it can be seen both ways: the order in which its sides speak and end. */
export function exchanged(c: BoundCase, at: Device, forward: Flow, backward?: Flow): Omit<Hop, 'id'>[] {
  const wanted = orders[c.case.exchange]
  return wanted ? [hop('keeps the order of the exchange', at, order(at, wanted, forward, backward))] : []
}
