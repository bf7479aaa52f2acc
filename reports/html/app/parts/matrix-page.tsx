import { useLayoutEffect, useRef } from 'preact/hooks'
import type { ReportCase } from '../../report.ts'
import type { Shared } from '../app.tsx'
import { axesOf, type Group, sectionsOf } from '../model/matrix.ts'
import { caseWords, groupWords, valueWords, verdictWords } from '../model/words.ts'
import { Mark } from './basics.tsx'
import { Summary } from './summary.tsx'

export function MatrixPage(shared: Shared & { cases: readonly ReportCase[] }) {
  const { report, route, cases, go } = shared
  const place = useRef<HTMLDivElement>(null)
  useTileKeys(place)
  const left = new Set(cases)
  const filtered = cases.length < report.cases.length
  return (
    <div ref={place} class="page">
      <Summary {...shared} />
      <Filters {...shared} />
      <p class="count" role="status">
        {filtered ? `${cases.length} of ${report.cases.length} cases` : ''}
        {filtered && (
          <button type="button" class="plain" onClick={() => go({}, true)}>
            show all
          </button>
        )}
      </p>
      {cases.length === 0 && <p class="empty">No case fits. Take a filter away, or search for less.</p>}
      {sectionsOf(report.cases)
        .filter((s) => s.groups.some((g) => membersOf(g).some((c) => left.has(c))))
        .map((section) => (
          <section key={section.name} class="mode" aria-label={section.name}>
            <h2>
              {section.mode} <span class="soft">release {section.release}</span>
            </h2>
            <div class="groups">
              {section.groups
                .filter((g) => membersOf(g).some((c) => left.has(c)))
                .map((group) => (
                  <GroupCard key={group.name} group={group} left={left} {...shared} />
                ))}
            </div>
          </section>
        ))}
      {route.q === '' && !filtered && <Legend />}
    </div>
  )
}

const membersOf = (g: Group): ReportCase[] => [
  ...g.rows.flatMap((r) => r.cells).filter((c) => c !== undefined),
  ...g.others.map((o) => o.case),
]

function GroupCard({ group, left, ...shared }: Shared & { group: Group; left: ReadonlySet<ReportCase> }) {
  const title = valueWords(group.name)
  return (
    <article class={group.columns.length > 3 ? 'group wide' : 'group'}>
      <h3>{title}</h3>
      {groupWords(group.name) && <p class="soft">{groupWords(group.name)}</p>}
      {group.rows.length > 0 && (
        <table class="grid" style={{ maxWidth: `${168 + group.columns.length * 196}px` }}>
          <thead>
            <tr>
              <td />
              {group.columns.map((c) => (
                <th key={c} scope="col">
                  {valueWords(c)}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {group.rows.map((row) => (
              <tr key={row.name}>
                <th scope="row">{row.name}</th>
                {row.cells.map((c, i) => (
                  <td key={group.columns[i]}>{c && <Tile shown={c} dim={!left.has(c)} {...shared} />}</td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {group.others.length > 0 && (
        <ul class="others">
          {group.others.map(({ case: c, name, where }) => (
            <li key={c.key}>
              <Tile shown={c} dim={!left.has(c)} name={name} where={where} {...shared} />
            </li>
          ))}
        </ul>
      )}
    </article>
  )
}

function Tile({ shown, dim, name, where, link, route }: Shared & { shown: ReportCase; dim: boolean; name?: string; where?: string }) {
  const hops = shown.legs.flatMap((l) => l.hops)
  const steps =
    hops.length > 0 ? `${hops.filter((h) => h.verdict === 'pass').length} of ${hops.length} hops proven` : `${shown.checks.length} checks`
  return (
    <a
      class={`tile ${shown.verdict}${dim ? ' dim' : ''}`}
      href={link({ case: shown.key, q: route.q, filters: route.filters })}
      title={`${shown.id}\n${verdictWords[shown.verdict]}: ${steps}${shown.reason ? `\n${shown.reason}` : ''}`}
      aria-label={`${caseWords(shown)}: ${verdictWords[shown.verdict]}, ${steps}`}
    >
      <Mark verdict={shown.verdict} quiet />
      {name && (
        <span class="name">
          {name}
          {where && <small>{where}</small>}
        </span>
      )}
      <Strip shown={shown} />
    </a>
  )
}

/** The hops of a case as a row of small bars, leg by leg. */
function Strip({ shown }: { shown: ReportCase }) {
  const rows = shown.legs.length > 0 ? shown.legs.map((l) => l.hops) : [shown.checks]
  return (
    <span class="strip" aria-hidden="true">
      {rows.map((hops, l) => (
        <span key={l}>
          {hops.map((h) => (
            <i key={h.id} class={`${h.verdict}${h.id === shown.brokenHop ? ' broken' : ''}`} />
          ))}
        </span>
      ))}
    </span>
  )
}

function Filters({ report, route, go }: Shared) {
  const set = (name: string, value: string) => {
    const { [name]: _, ...rest } = route.filters
    go({ q: route.q, filters: value ? { ...rest, [name]: value } : rest }, true)
  }
  const verdicts = Object.entries(report.totals).filter(([, n]) => n > 0)
  return (
    <fieldset class="filters">
      <legend class="hidden">Filters</legend>
      {verdicts.length > 1 && (
        <span class="chips">
          {verdicts.map(([verdict, n]) => (
            <button
              key={verdict}
              type="button"
              class={`chip ${verdict}`}
              aria-pressed={route.filters.verdict === verdict}
              onClick={() => set('verdict', route.filters.verdict === verdict ? '' : verdict)}
            >
              <Mark verdict={verdict} quiet /> {n} {verdictWords[verdict]}
            </button>
          ))}
        </span>
      )}
      {axesOf(report.cases).map(([axis, values]) => (
        <label key={axis}>
          <span>{axis}</span>
          <select value={route.filters[axis] ?? ''} onChange={(e) => set(axis, e.currentTarget.value)}>
            <option value="">any</option>
            {values.map((v) => (
              <option key={v} value={v}>
                {valueWords(v)}
              </option>
            ))}
          </select>
        </label>
      ))}
    </fieldset>
  )
}

const Legend = () => (
  <p class="legend soft">
    Each tile is one case, each small bar one hop or check of it. <Mark verdict="pass" /> every proof was seen &nbsp;{' '}
    <Mark verdict="fail" /> something else was seen in its place &nbsp;
    <Mark verdict="inconclusive" /> not seen, or a control failed. Press <kbd>?</kbd> for words and keys.
  </p>
)

/** j and k, and the arrows, go from tile to tile. */
function useTileKeys(place: { current: HTMLElement | null }) {
  useLayoutEffect(() => {
    const pressed = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return
      if (event.target instanceof HTMLElement && event.target.matches('input, select, textarea, dialog *')) return
      const step = { j: 1, ArrowDown: 1, ArrowRight: 1, k: -1, ArrowUp: -1, ArrowLeft: -1 }[event.key]
      if (!step) return
      const tiles = [...(place.current?.querySelectorAll<HTMLElement>('.tile:not(.dim)') ?? [])]
      if (tiles.length === 0) return
      event.preventDefault()
      const at = tiles.indexOf(document.activeElement as HTMLElement)
      const next = at < 0 ? (step > 0 ? 0 : tiles.length - 1) : Math.min(tiles.length - 1, Math.max(0, at + step))
      tiles[next]!.focus()
    }
    addEventListener('keydown', pressed)
    return () => removeEventListener('keydown', pressed)
  }, [place])
}
