import type { Shared } from '../app.tsx'
import { caseWords, verdictWords } from '../model/words.ts'
import { Mark } from './basics.tsx'

/** More of them tell no more than the matrix does. */
const MOST = 6

/** What came out, in a sentence; then each case that did not pass, with its first broken hop. */
export function Summary({ report, link }: Shared) {
  const { totals, cases } = report
  const hops = cases.flatMap((c) => c.legs.flatMap((l) => l.hops))
  const proofs = hops.flatMap((h) => h.proofs).filter((p) => p.status === 'proven').length
  const troubled = cases.filter((c) => c.verdict !== 'pass' && c.verdict !== 'unsupported')
  const count = (n: number) => n.toLocaleString('en')
  return (
    <section class="summary" aria-label="Result">
      <h1 class={troubled.length > 0 ? 'bad' : 'good'}>{headline(totals, cases.length)}</h1>
      {hops.length > 0 && (
        <p class="figures">
          <b>{count(hops.filter((h) => h.verdict === 'pass').length)}</b> of {count(hops.length)} hops proven by <b>{count(proofs)}</b>{' '}
          proofs, each seen on the very request it is about.
        </p>
      )}
      {report.notRun.length > 0 && (
        <p class="figures">
          <a href={link({ page: 'run' })}>{report.notRun.length} more were asked for and not run</a>
        </p>
      )}
      {report.notes.map((note) => (
        <p key={note} class="note">
          {note}
        </p>
      ))}
      {troubled.length > 0 && (
        <ul class="troubles">
          {troubled.slice(0, MOST).map((c) => {
            const hop = [...c.legs.flatMap((l) => l.hops), ...c.checks].find((h) => h.id === c.brokenHop)
            return (
              <li key={c.key}>
                <a href={link({ case: c.key, ...(hop ? { hop: hop.id } : {}) })}>
                  <Mark verdict={c.verdict} />
                  <span>
                    <b>{caseWords(c)}</b>
                    <small>
                      {hop
                        ? `first broken ${hop.vantage ? `hop: ${hop.title}, at ${hop.vantage}` : `check: ${hop.title}`}`
                        : (c.reason ?? '')}
                    </small>
                  </span>
                </a>
              </li>
            )
          })}
          {troubled.length > MOST && <li class="soft">and {troubled.length - MOST} more: see the matrix</li>}
        </ul>
      )}
    </section>
  )
}

function headline(totals: Shared['report']['totals'], all: number): string {
  if (all === 0) return 'Nothing was judged'
  if (totals.pass === all) return `All ${all} cases passed`
  const parts = (['fail', 'error', 'inconclusive', 'unsupported'] as const)
    .filter((v) => (totals[v] ?? 0) > 0)
    .map((v) => `${totals[v]} ${verdictWords[v]}`)
  return `${totals.pass ?? 0} of ${all} cases passed: ${parts.join(', ')}`
}
