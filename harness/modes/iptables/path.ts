import type { Path } from '../path.ts'

/** The path that a case must take. None is written down yet: so none can pass. */
export const path = (): Path => ({ legs: [], bindings: { client: { from: 'client' } }, outcome: 'served' })
