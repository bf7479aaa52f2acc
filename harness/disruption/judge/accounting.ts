/** How one request of a load ended. Each is exactly one of these; whether it was readable in clear is told apart. */
export const fates = ['delivered', 'late', 'duplicated', 'reset', 'lost'] as const
export type Fate = (typeof fates)[number]

/** Longer than this from its begin to its answer, a request is late. Milliseconds. */
export const lateAfter = 1000

/** A client's line about one request, with a pointer to it. */
export interface AnswerLine {
  readonly seq: number
  readonly token: string
  readonly ok: boolean
  readonly error?: string | undefined
  readonly connection?: number | undefined
  /** Wall clock, milliseconds. */
  readonly startedAt: number
  readonly endedAt: number
  readonly ref: string
}

/** A server's line about one request that it served. */
export interface ServedLine {
  readonly body: string
  readonly ref: string
}

/** A token that was read in clear from a device. */
export interface SightingLine {
  readonly token: string
  /** Wall clock, microseconds. */
  readonly t: number
  readonly node: string
  readonly netns: string
  readonly dev: string
  readonly ref: string
}

export interface AccountedRequest {
  readonly seq: number
  readonly fate: Fate
  /** The client's line; undefined: none came, though the number was given out. */
  readonly answer: AnswerLine | undefined
  readonly served: readonly ServedLine[]
  /** Where it was readable on its way, oldest first; `lo` of a pod is not on its way. */
  readonly readable: readonly SightingLine[]
  /** All sightings, `lo` too. */
  readonly seen: readonly SightingLine[]
}

export interface Account {
  /** By number, without a gap. */
  readonly requests: readonly AccountedRequest[]
  /** Sums up to the number of requests. */
  readonly totals: Readonly<Record<Fate, number>>
  /** What cannot be: lines of requests that were never numbered, two lines of one, an answer that no server gave. In words. */
  readonly contradictions: readonly string[]
}

/**
 * Accounts for every request of a load from both of its ends. A request that the server saw twice is duplicated, whatever its client got; else, if its client got no answer,
 * it was reset (the connection told so) or lost; else it is late or delivered.
 * @param sent how many the client numbered, as its last line told; undefined: it never told, what came is all that is known
 */
export function account(
  sent: number | undefined,
  answers: readonly AnswerLine[],
  served: readonly ServedLine[],
  sightings: readonly SightingLine[],
): Account {
  const contradictions: string[] = []
  const bySeq = new Map<number, AnswerLine>()
  for (const answer of answers) {
    if (bySeq.has(answer.seq)) contradictions.push(`request ${answer.seq} has two lines`)
    else bySeq.set(answer.seq, answer)
  }
  const count = sent ?? Math.max(-1, ...bySeq.keys()) + 1
  for (const seq of bySeq.keys()) if (seq >= count) contradictions.push(`request ${seq} was told of, but only ${count} were numbered`)
  const servedOf = Map.groupBy(served, (line) => seqOf(line.body))
  const seenOf = Map.groupBy(sightings, (line) => seqOf(line.token))
  const requests = Array.from({ length: count }, (_, seq): AccountedRequest => {
    const answer = bySeq.get(seq)
    const mine = <T>(lines: readonly T[] | undefined, token: (line: T) => string) =>
      (lines ?? []).filter((line) => answer === undefined || token(line).includes(answer.token))
    const servers = mine(servedOf.get(seq), (line) => line.body)
    const seen = mine(seenOf.get(seq), (line) => line.token).toSorted((a, b) => a.t - b.t)
    if (answer?.ok && servers.length === 0) contradictions.push(`request ${seq} was answered, but no server tells of it`)
    return { seq, fate: fateOf(answer, servers.length), answer, served: servers, seen, readable: seen.filter((s) => s.dev !== 'lo') }
  })
  const totals = Object.fromEntries(fates.map((fate) => [fate, requests.filter((r) => r.fate === fate).length])) as Record<Fate, number>
  return { requests, totals, contradictions }
}

function fateOf(answer: AnswerLine | undefined, served: number): Fate {
  if (served > 1) return 'duplicated'
  if (!answer?.ok) return answer?.error === 'ECONNRESET' || answer?.error === 'EPIPE' ? 'reset' : 'lost'
  return answer.endedAt - answer.startedAt > lateAfter ? 'late' : 'delivered'
}

/** The number in a token `MARK.SEQ.RANDOM`, wherever in a text it is; -1: there is none. */
export function seqOf(text: string): number {
  const found = /[A-Za-z0-9]{8,64}\.(\d{6,})\.[0-9a-f]{16}/.exec(text)
  return found ? Number(found[1]) : -1
}
