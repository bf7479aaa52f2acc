/** What the doctor found out about one thing that a run needs. */
export interface Finding {
  /** Stable name, such as `tpacket-v3`. */
  readonly id: string
  /** What was looked at, in words. */
  readonly title: string
  /** `missing` stops a run; `warning` does not; `unknown` could not be found out (why: `detail`). */
  readonly state: 'ok' | 'missing' | 'warning' | 'unknown'
  /** What was seen. */
  readonly detail?: string
  /** What to do about it. Always there when `missing` or `warning`. */
  readonly fix?: string
}

/** One line per finding, and one more with the fix where there is one; the last line sums up. */
export function formatFindings(findings: readonly Finding[]): string {
  const lines = findings.flatMap(({ state, title, detail, fix }) => [
    `${state.padEnd(8)} ${title}${detail ? `: ${detail}` : ''}`,
    ...(fix && state !== 'ok' ? [`         fix: ${fix}`] : []),
  ])
  return [...lines, summary(findings), ''].join('\n')
}

/** The findings as one JSON document, for programs. */
export function formatJson(findings: readonly Finding[]): string {
  return `${JSON.stringify({ schema: 1, ready: exitCode(findings) === 0, findings }, undefined, 2)}\n`
}

/** 0: nothing is missing. 3: a run would end with an environment error, or nobody can tell. */
export function exitCode(findings: readonly Finding[]): 0 | 3 {
  return findings.some((f) => f.state === 'missing' || f.state === 'unknown') ? 3 : 0
}

function summary(findings: readonly Finding[]): string {
  const count = (state: Finding['state']) => findings.filter((f) => f.state === state).length
  if (exitCode(findings) === 0) return 'this machine has what a run needs'
  const unknown = count('unknown')
  return `${count('missing')} missing${unknown > 0 ? `, ${unknown} unknown` : ''}: a run would not work here`
}
