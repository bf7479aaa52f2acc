import { styleText } from 'node:util'
import { troubleLines } from '../../reports/case-words.ts'
import type { CaseResult, Results } from '../../reports/results.ts'

/** How results read on a terminal: pure text, coloured only if asked. */
export interface Paint {
  readonly colour: boolean
  /** Columns; longer lists of hops go on in the next line. @default no end */
  readonly width?: number
}

/** How to paint on standard output: on a terminal in colour and in its width. */
export const paintOf = (out: NodeJS.WriteStream): Paint =>
  out.isTTY ? { colour: true, width: Math.max(60, out.columns || 80) } : { colour: false }

const MARKS = { pass: '✓', fail: '✗', unsupported: '–', inconclusive: '?', error: '!' } as const
const COLOURS = { pass: 'green', fail: 'red', unsupported: 'gray', inconclusive: 'yellow', error: 'magenta' } as const

type Style = Parameters<typeof styleText>[0]
const paint = (style: Style, text: string, { colour }: Paint) => (colour ? styleText(style, text, { validateStream: false }) : text)

/** One case: its verdict, then each leg with the verdict of each of its hops; for what is not as it must be, why, where and how to run it again. */
export function caseText(c: CaseResult, p: Paint): string {
  const hops = c.legs.flatMap((l) => l.hops)
  const proven = hops.filter((h) => h.verdict === 'pass').length
  const head = `${paint(COLOURS[c.verdict], MARKS[c.verdict], p)} ${c.id}  ${paint('dim', `${hops.length > 0 ? `${proven} of ${hops.length} hops proven` : `${c.checks.filter((h) => h.verdict === 'pass').length} of ${c.checks.length} checks hold`}, ${c.durationMs} ms`, p)}`
  const width = Math.max(0, ...c.legs.map((l) => l.title.length))
  const legs = c.legs.map((l) => {
    const start = `    ${l.title.padEnd(width)}  ${l.row.padEnd(6)}  `
    const rows = rowsOf(l.hops, (p.width ?? Number.POSITIVE_INFINITY) - start.length)
    const painted = rows.map((hops) =>
      hops.map((h) => `${paint(COLOURS[h.verdict], MARKS[h.verdict], p)} ${paint('dim', h.title, p)}`).join('  '),
    )
    return start + painted.join(`\n${' '.repeat(start.length)}`)
  })
  const checks = c.checks.filter((h) => h.verdict !== 'pass').map((h) => `    ${paint(COLOURS[h.verdict], MARKS[h.verdict], p)} ${h.title}`)
  return [head, ...legs, ...checks, ...(c.verdict === 'pass' ? [] : trouble(c, p))].join('\n')
}

/** Hops in rows that are as wide as there is room, mark and title each. */
function rowsOf(hops: CaseResult['checks'], room: number): CaseResult['checks'][] {
  const rows: CaseResult['checks'][] = [[]]
  let taken = 0
  for (const hop of hops) {
    const own = hop.title.length + 4
    if (taken > 0 && taken + own > room + 2) {
      rows.push([])
      taken = 0
    }
    rows.at(-1)!.push(hop)
    taken += own
  }
  return rows
}

const trouble = (c: CaseResult, p: Paint) =>
  [...troubleLines(c), ['run it again', c.reproduce] as const].map(([what, text]) => `      ${paint('bold', `${what}:`, p)} ${text}`)

/** So many lines that run a case again are told at the end: a run that was interrupted has one for each. */
const AGAIN = 10
const rank = (c: CaseResult) => (c.verdict === 'fail' ? 0 : 1)

/** The last lines of a run: how many of each verdict, where everything is, and each failure's one line again. */
export function summaryText(results: Results, p: Paint): string {
  const counts = Object.entries(results.totals)
    .filter(([, n]) => n > 0)
    .map(([verdict, n]) => paint(COLOURS[verdict as keyof typeof COLOURS], `${n} ${verdict}`, p))
  const hops = results.cases.flatMap((c) => c.legs.flatMap((l) => l.hops))
  const proofs = hops.flatMap((h) => h.proofs)
  const lines = [
    `${counts.join(', ') || 'nothing judged'} of ${results.cases.length} cases; ${hops.filter((h) => h.verdict === 'pass').length} of ${hops.length} hops proven by ${proofs.filter((x) => x.status === 'proven').length} proofs`,
  ]
  for (const [reason, cells] of Map.groupBy(results.notRun ?? [], (c) => c.reason))
    lines.push(`${cells.length} not run, ${reason}: ${cells.map((c) => c.id).join(', ')}`)
  for (const note of results.notes) lines.push(`note: ${note}`)
  const again = results.cases.filter((x) => x.verdict === 'fail' || x.verdict === 'inconclusive').sort((a, b) => rank(a) - rank(b))
  for (const c of again.slice(0, AGAIN)) lines.push(`${c.verdict}: ${c.reproduce}`)
  if (again.length > AGAIN) lines.push(`and ${again.length - AGAIN} more; each case above ends with the line that runs it again`)
  return lines.join('\n')
}
