import type { Report, ReportCase } from '../../report.ts'
import type { Route } from './route.ts'
import { caseWords, valueWords, variantWords } from './words.ts'

/** A part of the matrix: the cases of one mode and kind of traffic. */
export interface Group {
  readonly name: string
  readonly rows: readonly { readonly name: string; readonly cells: readonly (ReportCase | undefined)[] }[]
  readonly columns: readonly string[]
  /** What has no place in the grid: variants, and cases of other kinds. */
  readonly others: readonly { readonly case: ReportCase; readonly name: string; readonly where: string }[]
}

export interface Section {
  /** `MODE[@RELEASE]` */
  readonly name: string
  readonly mode: string
  readonly release: string
  readonly groups: readonly Group[]
}

/** The cases as sections, groups and grids, each in the order in which it comes. */
export function sectionsOf(cases: readonly ReportCase[]): Section[] {
  return [...Map.groupBy(cases, (c) => c.id.split('/')[0]!)].map(([name, own]) => ({
    name,
    mode: own[0]!.mode,
    release: own[0]!.release,
    groups: [...Map.groupBy(own, (c) => c.id.split('/')[1] ?? '')].map(([group, members]) => groupOf(group, members)),
  }))
}

const placements = new Set(['same-node', 'other-node'])

function groupOf(name: string, cases: readonly ReportCase[]): Group {
  const rows = new Map<string, Map<string, ReportCase>>()
  const columns: string[] = []
  const others: { case: ReportCase; name: string; where: string }[] = []
  for (const c of cases) {
    const [, , placement = '', address = '', protocol = '', ...variant] = c.id.split('/')
    const inGrid = placements.has(placement) && protocol !== '' && variant.length === 0
    if (!inGrid) {
      const rest = variant.length > 0 ? variant : c.id.split('/').slice(2)
      others.push({
        case: c,
        name: rest.map(variantWords).join(', '),
        where: variant.length > 0 ? [placement, address, protocol].map(valueWords).join(' · ') : '',
      })
      continue
    }
    const row = `${valueWords(placement)} · ${valueWords(address)}`
    if (!columns.includes(protocol)) columns.push(protocol)
    rows.set(row, (rows.get(row) ?? new Map()).set(protocol, c))
  }
  return {
    name,
    columns,
    rows: [...rows].map(([row, cells]) => ({ name: row, cells: columns.map((column) => cells.get(column)) })),
    others,
  }
}

/** Axes that at least half of the cases have and by which they differ, with their values, for filters. */
export function axesOf(cases: readonly ReportCase[]): [axis: string, values: string[]][] {
  const found = new Map<string, Set<string>>()
  const common = (axis: string) => axis === 'mode' || cases.filter((c) => c.axes[axis] !== undefined).length * 2 >= cases.length
  for (const c of cases) {
    for (const [axis, value] of Object.entries({ mode: c.id.split('/')[0]!, ...c.axes }))
      found.set(axis, (found.get(axis) ?? new Set()).add(value))
  }
  return [...found].filter(([axis, values]) => values.size > 1 && common(axis)).map(([axis, values]) => [axis, [...values]])
}

const texts = new WeakMap<ReportCase, string>()

function textOf(c: ReportCase): string {
  let text = texts.get(c)
  if (text === undefined) {
    const hops = [...c.legs.flatMap((l) => l.hops), ...c.checks]
    const parts = [
      c.key,
      caseWords(c),
      c.verdict,
      c.reason ?? '',
      c.likely ?? '',
      c.brokenHop ?? '',
      c.request?.client.ip ?? '',
      c.request?.server.ip ?? '',
    ]
    text = [
      ...parts,
      c.request?.client.netns ?? '',
      c.request?.server.netns ?? '',
      c.request?.destination ?? '',
      ...c.legs.map((l) => l.title),
      ...hops.map((h) => `${h.title} ${h.vantage}`),
    ]
      .join('\n')
      .toLowerCase()
    texts.set(c, text)
  }
  return text
}

/** The cases that search and filters leave: every word of the search is somewhere in what a case is and found. */
export function matching(report: Pick<Report, 'cases'>, { q, filters }: Pick<Route, 'q' | 'filters'>): ReportCase[] {
  const words = q.toLowerCase().split(/\s+/).filter(Boolean)
  return report.cases.filter((c) => {
    const fits = Object.entries(filters).every(([axis, value]) =>
      axis === 'verdict' ? c.verdict === value : axis === 'mode' ? c.id.split('/')[0] === value : c.axes[axis] === value,
    )
    return fits && words.every((w) => textOf(c).includes(w))
  })
}
