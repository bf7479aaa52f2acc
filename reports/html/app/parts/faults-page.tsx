import { asExpected, gotThrough } from '../../../fault-outcome.ts'
import type { FaultResult } from '../../../faults.ts'
import type { Shared } from '../app.tsx'
import { valueWords, verdictWords } from '../model/words.ts'
import { Mark } from './basics.tsx'

/** Every seeded fault against the cases that were run with it: which caught it, at which hop, and whether that was foretold. */
export function FaultsPage({ report, route, link, go }: Shared) {
  const matrix = report.faults
  if (!matrix) return <p class="empty">This report has no faults. `everyhop mutate` seeds them.</p>
  const words = route.q.toLowerCase().split(/\s+/).filter(Boolean)
  const faults = matrix.faults.filter((f) => words.every((w) => JSON.stringify(f).toLowerCase().includes(w)))
  const columns = [...new Set(matrix.faults.flatMap((f) => f.cases.map((c) => c.case)))]
  const through = matrix.faults.filter(gotThrough).length
  const equivalent = matrix.faults.filter((f) => f.outcome === 'equivalent' && !gotThrough(f)).length
  const all = matrix.faults.length - equivalent
  return (
    <div class="page">
      <section class="summary">
        <h1 class={through === 0 ? 'good' : 'bad'}>
          {through === 0 ? `All ${all} seeded faults were caught` : `${through} of ${all} seeded faults got through`}
        </h1>
        <p class="figures">
          By what the traffic did: each makes a request fail. <b>{matrix.faults.filter(asExpected).length}</b> at the very hop that was
          written down before the run; <b>{matrix.faults.filter((f) => f.audit).length}</b> are seen by comparing kernel state too.
          {equivalent > 0 &&
            ` ${equivalent} more cannot be told from none by any traffic, and ${equivalent === 1 ? 'is' : 'are'} declared so.`}{' '}
          Mode {matrix.mode}, release {matrix.release}.
        </p>
      </section>
      <div class="scroll">
        <table class="faults">
          <thead>
            <tr>
              <th scope="col">fault</th>
              <th scope="col">caught at hop</th>
              <th scope="col">audit</th>
              {columns.map((c) => (
                <th key={c} scope="col" class="case-name">
                  <span>{c.split('/').map(valueWords).join(' · ')}</span>
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {faults.map((f) => (
              <FaultRow
                key={f.fault}
                fault={f}
                columns={columns}
                open={route.fault === f.fault}
                report={report}
                route={route}
                link={link}
                go={go}
              />
            ))}
          </tbody>
        </table>
      </div>
      {faults.length === 0 && <p class="empty">No fault fits this search.</p>}
      <p class="legend soft">
        A row is something broken on purpose.{' '}
        <span class="catch-sign">
          <Mark verdict="fail" />
        </span>{' '}
        the request failed and so caught it, <span class="foretold-sign">◎</span> as foretold, <Mark verdict="pass" /> the request passed
        all the same, · not run with it.
      </p>
    </div>
  )
}

function FaultRow({ fault, columns, open, report, link, go }: Shared & { fault: FaultResult; columns: readonly string[]; open: boolean }) {
  const { traffic, expected } = fault
  const keyOf = (name: string) => report.cases.find((c) => c.fault === fault.fault && c.id.split('/').slice(1).join('/') === name)?.key
  const toggle = () => go({ page: 'faults', ...(open ? {} : { fault: fault.fault }) }, true)
  return (
    <>
      <tr class={gotThrough(fault) ? 'missed' : fault.outcome.replace(' ', '-')}>
        <th scope="row">
          <button type="button" class="plain name" aria-expanded={open} onClick={toggle}>
            {fault.title}
            <small class="soft">{fault.fault}</small>
          </button>
        </th>
        <td class="hop-name">
          {traffic ? hopName(traffic.hop) : gotThrough(fault) ? <b>not caught</b> : <span class="soft">equivalent to none</span>}
          {traffic && !asExpected(fault) && <small class="soft">foretold: {hopName(expected.hop)}</small>}
        </td>
        <td>{fault.audit ? 'seen' : '–'}</td>
        {columns.map((name) => {
          const cell = fault.cases.find((c) => c.case === name)
          if (!cell)
            return (
              <td key={name} class="cell none">
                ·
              </td>
            )
          const foretold = expected.case === name
          const exact = foretold && cell.hop === expected.hop
          const key = keyOf(name)
          const label = `${verdictWords[cell.verdict]}${cell.hop ? ` at ${hopName(cell.hop)}` : ''}${exact ? ', as foretold' : ''}`
          const content = (
            <>
              <Mark verdict={cell.verdict} quiet />
              {exact && <span class="foretold-sign">◎</span>}
            </>
          )
          return (
            <td key={name} class={`cell ${cell.verdict}`} title={label}>
              {key ? (
                <a href={link({ case: key, ...(cell.hop ? { hop: cell.hop } : {}) })} aria-label={label}>
                  {content}
                </a>
              ) : (
                <span role="img" aria-label={label}>
                  {content}
                </span>
              )}
            </td>
          )
        })}
      </tr>
      {open && (
        <tr class="detail">
          <td colSpan={3 + columns.length}>
            <p>
              Foretold: <code>{expected.case}</code> fails at <b>{hopName(expected.hop)}</b>. It took {(fault.durationMs / 1000).toFixed(1)}{' '}
              s.
            </p>
            <ul>
              {fault.cases.map((c) => (
                <li key={c.case}>
                  <Mark verdict={c.verdict} /> <code>{c.case}</code>
                  {c.reason ? `: ${c.reason}` : ''}
                </li>
              ))}
            </ul>
            {fault.equivalent && <p>No traffic can tell it: {fault.equivalent}</p>}
            {fault.why && !fault.equivalent && <p>Not caught: {fault.why}</p>}
            {fault.differences?.map((d) => (
              <p key={d} class="soft">
                {d}
              </p>
            ))}
          </td>
        </tr>
      )}
    </>
  )
}

/** `LEG/SLUG` → the hop in words. */
const hopName = (hop: string) =>
  hop
    .slice(hop.indexOf('/') + 1)
    .replaceAll('-', ' ')
    .replace(/ s /, '’s ')
    .replaceAll(/\b(hbone|dns|ca|ip)\b/g, (name) => name.toUpperCase())
