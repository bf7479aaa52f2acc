interface Line {
  readonly netns: string
  readonly traceId: string
  readonly type: string
  readonly mark: number
  readonly backend?: 'legacy' | undefined
}

/** Targets that end a table's walk with the packet going on; of the rest, all that are not here or below let the walk continue. */
const accepting = new Set(['ACCEPT', 'REDIRECT', 'DNAT', 'SNAT', 'MASQUERADE', 'NETMAP', 'TPROXY'])
const dropping = new Set(['DROP', 'REJECT'])
const continuing = new Set(
  'AUDIT CHECKSUM CLASSIFY CONNMARK CONNSECMARK CT DSCP ECN HL HMARK IDLETIMER LED LOG MARK NFLOG NOTRACK RATEEST SECMARK SET TCPMSS TCPOPTSTRIP TEE TOS TRACE TTL'.split(
    ' ',
  ),
)

/**
 * What an iptables-legacy line's rule did, in the words of nf_tables' traces: the kernel does not tell it.
 * A rule that no snapshot knows: `unknown`. A TPROXY that found no socket drops, which cannot be seen here.
 * @param rule as iptables-save prints it; @param policy the chain's policy, `ACCEPT` or `DROP`
 */
export function legacyVerdict(line: { readonly type: string; readonly verdict: string }, rule?: string, policy?: string): string {
  if (line.type === 'policy') return policy?.toLowerCase() ?? 'unknown'
  if (line.type === 'return') return 'return'
  if (rule === undefined) return line.verdict
  const [, flag, target = ''] = / -(j|g) (\S+)(?= |$)(?!.* -[jg] )/.exec(rule) ?? []
  if (flag === undefined || continuing.has(target)) return 'continue'
  if (flag === 'g') return `goto ${target}`
  if (accepting.has(target)) return 'accept'
  if (dropping.has(target)) return 'drop'
  if (target === 'RETURN') return 'return'
  if (target === 'NFQUEUE' || target === 'QUEUE') return 'queue'
  return `jump ${target}`
}

/** The mark after each line's rule. Legacy lines are written before the rule runs, so it is the mark of the walk's next line; the last line keeps its own. */
export function marksAfter(lines: readonly Line[]): number[] {
  const marks = lines.map(({ mark }) => mark)
  const next = new Map<string, number>()
  for (let i = lines.length - 1; i >= 0; i--) {
    const { backend, netns, traceId, mark } = lines[i]!
    if (backend !== 'legacy') continue
    const walk = `${netns} ${traceId}`
    marks[i] = next.get(walk) ?? mark
    next.set(walk, mark)
  }
  return marks
}
