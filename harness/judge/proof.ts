import type { Which } from '../modes/path.ts'
import type { Variables } from './bind.ts'
import type { Evidence, Window } from './evidence.ts'
import type { ProofLabel, ProofVerdict } from './verdict.ts'

/** What one proof is judged in. */
export interface Scene {
  readonly evidence: Evidence
  readonly variables: Variables
  /** The request's own time. */
  readonly window: Window
  /** Where its connection was opened: the same, or for a reused connection all the time before. */
  readonly opening: Window
  readonly token: string
}

export const hex = (mark: number) => `0x${mark.toString(16)}`

/** What it is of a flow of its protocol. */
export const protocolOf = (which: Which): 'tcp' | 'udp' => (which === 'datagram' || which === 'answer' ? 'udp' : 'tcp')

export function isWhich(which: Which, p: { flags: string; payloadLength?: number; protocol: string }): boolean {
  if (p.protocol !== protocolOf(which)) return false
  if (p.protocol === 'udp') return true
  const syn = p.flags.includes('S')
  switch (which) {
    case 'syn':
      return syn && !p.flags.includes('A')
    case 'syn-ack':
      return syn && p.flags.includes('A')
    default:
      return !syn && (p.payloadLength === undefined ? p.flags.includes('P') : p.payloadLength > 0)
  }
}

/** Shares the end that tells this connection from all others: the one with an ephemeral port, or (the other end's address being wrong) the served one. */
export const sharesAnEnd = (seen: { from: string; to: string }, want: { from: string; to: string }) =>
  seen.from === want.from || seen.to === want.to

export function proven(kind: string, expected: string, refs: readonly string[], label: ProofLabel = 'observed'): ProofVerdict {
  return { kind, label, status: 'proven', expected, refs, ...(refs[0] === undefined ? {} : { ref: refs[0] }) }
}

export function contradicted(
  kind: string,
  expected: string,
  seen: string,
  refs: readonly string[],
  label: ProofLabel = 'observed',
): ProofVerdict {
  return { kind, label, status: 'contradicted', expected, seen, refs, ...(refs[0] === undefined ? {} : { ref: refs[0] }) }
}

export function missing(kind: string, expected: string, label: ProofLabel = 'observed'): ProofVerdict {
  return { kind, label, status: 'missing', expected, refs: [] }
}
