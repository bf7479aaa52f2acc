import type { SideDifference, Step } from './paths.ts'
import type { RunDifference } from './runs.ts'

/** What changed from one run to another, in words. */
export function runDifferenceText(d: RunDifference): string {
  const [one, other] = (d.sides ?? []).map((side) => ` (${side})`)
  const lines = [
    `${d.before}${one ?? ''} → ${d.after}${other ?? ''}: ${d.changed.length} cases changed, ${d.same} are the same, ${d.added.length} new, ${d.gone.length} gone`,
  ]
  for (const c of d.changed) {
    lines.push('', `${c.id}: ${c.before === c.after ? `${c.after} as before, but other hops` : `${c.before} → ${c.after}`}`)
    if (c.reason) lines.push(`  ${c.after === 'pass' ? 'before' : 'now'}: ${c.reason}`)
    for (const h of c.hops) lines.push(`  ${h.title}: ${h.before ?? 'not there'} → ${h.after ?? 'not there'}`)
    if (c.after !== 'pass') lines.push(`  run it again: ${c.reproduce}`)
  }
  if (d.added.length > 0) lines.push('', 'new:', ...d.added.map((c) => `  ${c.id}: ${c.verdict}`))
  if (d.gone.length > 0) lines.push('', 'gone:', ...d.gone.map((c) => `  ${c.id}: was ${c.verdict}`))
  if (d.timing) {
    lines.push('', `requests took ${d.timing.medianRatio.toFixed(2)} times as long (median of ${d.timing.cases} cases that passed in both)`)
    for (const s of d.timing.slower) lines.push(`  ${s.id}: ${s.beforeMs} ms → ${s.afterMs} ms`)
  }
  return lines.join('\n')
}

/** Where the paths of two modes or releases part, in words. Cases that part in the same way are told together. */
export function sideDifferenceText({ sides: [a, b], cases, alone }: SideDifference): string {
  const parting = cases.filter((c) => c.parts)
  const lines = [`${a} and ${b}: ${cases.length} cases in both, of which ${parting.length} take another path`]
  for (const c of cases.filter((x) => x.verdicts[0] !== x.verdicts[1]))
    lines.push(`  ${c.case}: ${c.verdicts[0]} in ${a}, ${c.verdicts[1]} in ${b}`)
  for (const [, those] of Map.groupBy(parting, (c) => JSON.stringify([c.together, c.steps]))) {
    const [first] = those as [(typeof those)[number]]
    lines.push('', ...those.map((c) => c.case), `  the first ${first.together} hops are the same; then they part:`)
    for (const [x, y] of first.steps) lines.push(...stepLines(x, y, a, b))
  }
  if (alone.length > 0) lines.push('', 'only in one:', ...alone.map((c) => `  ${c.case}: ${c.side}`))
  return lines.join('\n')
}

function stepLines(x: Step | undefined, y: Step | undefined, a: string, b: string): string[] {
  const step = (x ?? y)!
  const side = (s: Step | undefined, name: string) =>
    s ? s.only.map((text) => `      ${name}: ${text}`) : [`      ${name}: has no such hop`]
  return [`    ${step.leg}: ${step.title}`, ...side(x, a), ...side(y, b)]
}
