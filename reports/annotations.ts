import { troubleOf } from './case-words.ts'
import type { Results } from './results.ts'

/** GitHub shows this many of a kind for a step and drops the rest without a word. */
const SHOWN = 10

/**
 * GitHub workflow commands, a line each: an error for each failed case and each problem of the run, a warning for each inconclusive one.
 * Where there are more than are shown, the last one says how many.
 */
export function annotations(results: Results | undefined, problems: readonly string[] = []): string[] {
  const errors = problems.map((problem) => command('error', 'everyhop could not run', problem))
  const warnings: string[] = []
  for (const c of results?.cases ?? []) {
    const { hop, expected, seen, likely, reason } = troubleOf(c)
    const what = hop ? `${hop.title}${hop.vantage ? ` (${hop.vantage})` : ''}: expected ${expected}; seen: ${seen}` : reason
    const message = [what, likely && `likely: ${likely}`, `run it again: ${c.reproduce}`].filter(Boolean).join('\n')
    if (c.verdict === 'fail' || c.verdict === 'error') errors.push(command('error', `${c.id}: ${c.verdict}`, message))
    if (c.verdict === 'inconclusive')
      warnings.push(command('warning', `${c.id}: inconclusive`, `${c.reason}\nrun it again: ${c.reproduce}`))
  }
  return [...shown(errors, 'error'), ...shown(warnings, 'warning')]
}

function shown(lines: readonly string[], kind: 'error' | 'warning'): readonly string[] {
  if (lines.length <= SHOWN) return lines
  const rest = lines.length - SHOWN + 1
  return [...lines.slice(0, SHOWN - 1), command(kind, `${rest} more`, `There are ${rest} more: see the summary of the step, or summary.md`)]
}

/** Escaped as GitHub's toolkit does it: `%` and line ends everywhere, in properties also what ends one. */
function command(kind: 'error' | 'warning', title: string, message: string): string {
  const data = (text: string) => text.replaceAll('%', '%25').replaceAll('\r', '%0D').replaceAll('\n', '%0A')
  const property = (text: string) => data(text).replaceAll(':', '%3A').replaceAll(',', '%2C')
  return `::${kind} title=${property(title)}::${data(message)}`
}
