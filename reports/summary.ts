import { captureOf, modeAndRelease, troubleLines, troubleOf } from './case-words.ts'
import { type CaseResult, type Results, verdicts } from './results.ts'

/** What GitHub takes of a step's summary, bytes. */
const LIMIT = 1 << 20
/** Kept free for what is said of the cases that were left out. */
const RESERVE = 1000

const MARKS = { pass: '✅', fail: '❌', unsupported: '➖', inconclusive: '❔', error: '💥' } as const

/** `summary.md`: the run at a glance, then each case that did not pass, as long as GitHub's limit lets them in. */
export function summaryMarkdown(results: Results, problems: readonly string[] = []): string {
  const parts = [heading(results, problems), table(results), notRun(results), notes(results, problems)].filter(Boolean)
  let size = parts.reduce((sum, part) => sum + bytes(part) + 2, 0)
  const troubled = results.cases.filter((c) => c.verdict === 'fail' || c.verdict === 'error' || c.verdict === 'inconclusive')
  let left = 0
  for (const c of troubled.toSorted((a, b) => verdicts.indexOf(a.verdict) - verdicts.indexOf(b.verdict))) {
    const part = details(c)
    if (left > 0 || size + bytes(part) + 2 > LIMIT - RESERVE) left++
    else {
      parts.push(part)
      size += bytes(part) + 2
    }
  }
  if (left > 0) parts.push(`…and ${left} more that have no room here: \`results.json\` has them all.`)
  return `${parts.join('\n\n')}\n`
}

const bytes = (text: string) => Buffer.byteLength(text)

function heading(results: Results, problems: readonly string[]): string {
  const counts = verdicts.filter((v) => (results.totals[v] ?? 0) > 0).map((v) => `${MARKS[v]} ${results.totals[v]} ${v}`)
  const left = results.notRun?.length ? [`⏭️ ${results.notRun.length} not run`] : []
  const hops = results.cases.flatMap((c) => c.legs.flatMap((l) => l.hops))
  const proven = hops.filter((h) => h.verdict === 'pass').length
  const told = [...counts, ...left].join(', ') || 'nothing was judged'
  const trouble = problems.length > 0 ? ' — the run did not go well' : ''
  return `## Everyhop: ${told}${trouble}\n\nRun \`${results.run}\` (${results.provider}): ${proven} of ${hops.length} hops proven in ${results.cases.length} cases.`
}

/** One row a mode and release, one column a kind of traffic. */
function table(results: Results): string {
  const rows = [...Map.groupBy(results.cases, (c) => modeAndRelease(c))]
  const columns = [...new Set(results.cases.map(trafficOf))]
  if (rows.length === 0) return ''
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`
  return [
    line(['mode', ...columns]),
    line(['---', ...columns.map(() => '---')]),
    ...rows.map(([name, cases]) => line([name, ...columns.map((column) => cell(cases.filter((c) => trafficOf(c) === column)))])),
  ].join('\n')
}

/** The axis, or for a kind of case without axes the first part of its name. */
const trafficOf = (c: CaseResult) => c.axes?.traffic ?? c.id.split('/')[1] ?? c.id

function cell(cases: readonly CaseResult[]): string {
  if (cases.length === 0) return ''
  return verdicts
    .map((v) => [v, cases.filter((c) => c.verdict === v).length] as const)
    .filter(([, n]) => n > 0)
    .map(([v, n]) => `${MARKS[v]} ${n}`)
    .join(' ')
}

function notRun({ notRun: cells = [] }: Results): string {
  if (cells.length === 0) return ''
  const reasons = [...Map.groupBy(cells, (c) => c.reason)]
  const list = reasons.map(([reason, those]) => `- ${text(reason)}: ${those.map((c) => `\`${c.id}\``).join(', ')}`)
  return `<details><summary>${cells.length} cells were not run</summary>\n\n${list.join('\n')}\n\n</details>`
}

function notes(results: Results, problems: readonly string[]): string {
  return [...problems.map((p) => `- **problem**: ${text(p)}`), ...results.notes.map((n) => `- note: ${text(n)}`)].join('\n')
}

/** So much of a reason stands in a line that is folded, letters. */
const SHORT = 140

function inShort(c: CaseResult): string {
  const { hop, reason } = troubleOf(c)
  if (hop) return `broken at “${hop.title}”`
  return reason.length > SHORT ? `${reason.slice(0, SHORT)}…` : reason
}

/** Folded: the first line is what a reader decides by. */
function details(c: CaseResult): string {
  const capture = captureOf(c)
  const lines = [...troubleLines(c), ...(capture ? [['packets', capture] as const] : [])]
  const list = lines.map(([label, words]) => `- **${label}**: ${code(words)}`).join('\n')
  const fence = '`'.repeat(Math.max(3, longestRun(c.reproduce) + 1))
  return `<details><summary>${MARKS[c.verdict]} ${html(`${c.id}: ${inShort(c)}`)}</summary>\n\n${list}\n\n${fence}sh\n${c.reproduce}\n${fence}\n\n</details>`
}

const html = (words: string) =>
  words
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll(/\s*\n\s*/g, ' ')
const text = (words: string) => html(words).replaceAll(/([\\`*_[\]|])/g, '\\$1')

/** Evidence as it is, whatever backticks are in it. */
function code(words: string): string {
  const ticks = '`'.repeat(longestRun(words) + 1)
  const pad = words.startsWith('`') || words.endsWith('`') ? ' ' : ''
  return `${ticks}${pad}${words.replaceAll(/\s*\n\s*/g, ' ')}${pad}${ticks}`
}

const longestRun = (words: string) => Math.max(0, ...[...words.matchAll(/`+/g)].map(([run]) => run.length))
