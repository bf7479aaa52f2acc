import type { Proof } from '../modes/path.ts'
import type { HopVerdict, ProofVerdict } from './verdict.ts'

/** A proof with its place in the case: which leg and hop it belongs to. */
export interface Placed {
  readonly proof: Proof
  readonly verdict: ProofVerdict
  readonly hop: HopVerdict
  readonly leg: number
  readonly position: number
}

/**
 * The order in which a request makes its proofs come true: the connections are opened leg by leg (each SYN from hop to hop, its answer back,
 * the first data), the server sees it, the reply comes home through the legs backwards, and then everybody tells of it.
 */
export function causalOrder(placed: readonly Placed[]): Placed[] {
  return placed.toSorted((a, b) => compare(rank(a), rank(b)))
}

const RANK = { syn: 0, 'syn-ack': 1, data: 2, datagram: 0 } as const
const OPENING = 0
const SERVING = 1
const REPLYING = 2
const TELLING = 3

function rank({ proof, leg, position }: Placed): readonly number[] {
  switch (proof.kind) {
    case 'packet':
    case 'trace':
      if (proof.which === 'reply' || proof.which === 'answer') return [REPLYING, -leg, 0, -position]
      return [OPENING, leg, RANK[proof.which], proof.which === 'syn-ack' ? -position : position]
    // Translation is decided by the SYN; the mark that is proven comes with what follows.
    case 'conntrack':
      return [OPENING, leg, RANK['syn-ack'], position]
    case 'served':
      return [SERVING]
    default:
      return [TELLING, leg, 0, position]
  }
}

function compare(a: readonly number[], b: readonly number[]): number {
  for (let i = 0; i < Math.max(a.length, b.length); i++) {
    const difference = (a[i] ?? 0) - (b[i] ?? 0)
    if (difference !== 0) return difference
  }
  return 0
}
