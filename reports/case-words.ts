import type { CaseResult } from './results.ts'

type Hop = CaseResult['checks'][number]

/** What a reader needs first of a case that did not pass. */
export interface Trouble {
  /** The first hop that is not as it must be; undefined: none could be named. */
  readonly hop?: Hop
  readonly expected?: string
  readonly seen?: string
  /** Pointer into the bundle. */
  readonly evidence?: string
  readonly likely?: string
  readonly reason: string
}

/** What went wrong in a case, picked out of its verdict. */
export function troubleOf(c: CaseResult): Trouble {
  const hop = [...c.legs.flatMap((l) => l.hops), ...c.checks].find((h) => h.id === c.brokenHop)
  const proof = hop?.proofs.find((p) => p.status === 'contradicted') ?? hop?.proofs.find((p) => p.status === 'missing')
  return {
    reason: c.reason ?? c.verdict,
    ...(hop ? { hop, seen: proof?.seen ?? 'nothing in its place' } : {}),
    ...(proof ? { expected: proof.expected } : {}),
    ...(proof?.ref ? { evidence: proof.ref } : {}),
    ...(c.likely && c.likely !== proof?.expected ? { likely: c.likely } : {}),
  }
}

/** Trouble as labelled lines, in the order in which they are read. */
export function troubleLines(c: CaseResult): [label: string, text: string][] {
  const { hop, expected, seen, evidence, likely, reason } = troubleOf(c)
  const lines: [string, string | undefined][] = hop
    ? [
        ['broken at', `${hop.id}${hop.vantage ? ` (${hop.vantage})` : ''}`],
        ['expected', expected],
        ['seen', seen],
        ['evidence', evidence],
        ['likely', likely],
      ]
    : [['because', reason]]
  return lines.filter((line): line is [string, string] => line[1] !== undefined)
}

/** `MODE@RELEASE`: what the cases of a run are grouped by. */
export const modeAndRelease = (c: CaseResult): string => `${c.mode}@${c.release}`

/** The capture of a case, as a path in the run's folder; undefined: no packet was seen of it. */
export function captureOf(c: CaseResult): string | undefined {
  const seen = c.legs.some((l) => l.hops.some((h) => h.proofs.some((p) => p.refs.some((ref) => /\.pcapng#p\d+$/.test(ref)))))
  return seen ? `cases/${c.id.replaceAll('/', '.')}/capture.pcapng` : undefined
}
