import type { ReportCase } from '../../report.ts'
import type { Shared } from '../app.tsx'
import { caseWords, likelyWords, podName, verdictWords } from '../model/words.ts'
import { Mark } from './basics.tsx'

/** What the case is and what came of it; for one that failed, where and why. */
export function CaseHead({ report, shown, cases, link, route }: Shared & { shown: ReportCase; cases: readonly ReportCase[] }) {
  const list = cases.includes(shown) ? cases : report.cases
  const at = list.indexOf(shown)
  const keep = { q: route.q, filters: route.filters }
  const near = (step: number) => list[at + step]
  const fault = report.faults?.faults.find((f) => f.fault === shown.fault)
  return (
    <header class="case-head">
      <p class="crumbs">
        <a href={link(keep)}>{report.kind === 'run' ? 'Matrix' : 'Faults'}</a> / <code>{shown.id}</code>
        <span class="spacer" />
        {near(-1) && (
          <a href={link({ case: near(-1)!.key, ...keep })} title="previous case (k)">
            ← previous case
          </a>
        )}
        {near(1) && (
          <a href={link({ case: near(1)!.key, ...keep })} title="next case (j)">
            next case →
          </a>
        )}
      </p>
      <h1>
        <Mark verdict={shown.verdict} /> {caseWords(shown)}
      </h1>
      <p class="lead">{sentence(shown)}</p>
      {fault && (
        <p class="note">
          Seeded fault <code>{fault.fault}</code>: {fault.title}.
        </p>
      )}
      {shown.verdict !== 'pass' && <Trouble shown={shown} />}
    </header>
  )
}

function sentence(c: ReportCase): string {
  const hops = c.legs.flatMap((l) => l.hops)
  const proven = hops.filter((h) => h.verdict === 'pass').length
  const result = hops.length > 0 ? `${proven} of ${hops.length} hops proven, ${c.durationMs} ms.` : ''
  if (!c.request) {
    const held = c.checks.filter((h) => h.verdict === 'pass').length
    return c.checks.length > 0 ? `${held} of ${c.checks.length} checks hold, ${(c.durationMs / 1000).toFixed(1)} s.` : result
  }
  const { client, server, destination, endpoint, outcome } = c.request
  const who = (p: typeof client) => (p.netns === 'node' ? `node ${p.node}` : podName(p.netns))
  const by = destination === endpoint ? '' : `, which stands for ${endpoint}`
  const where = client.node === server.node ? `both on node ${client.node}` : `from node ${client.node} to node ${server.node}`
  return `${who(client)} asks ${who(server)} at ${destination}${by}; ${where}. It must be ${outcome}. ${result}`
}

function Trouble({ shown }: { shown: ReportCase }) {
  const hop = [...shown.legs.flatMap((l) => l.hops), ...shown.checks].find((h) => h.id === shown.brokenHop)
  const proof = hop?.proofs.find((p) => p.status === 'contradicted') ?? hop?.proofs.find((p) => p.status === 'missing')
  return (
    <section class={`trouble ${shown.verdict}`} aria-label="What is wrong">
      {hop ? (
        <>
          <h2>
            First broken {hop.vantage ? 'hop' : 'check'}: {hop.title} <span class="soft">{hop.vantage}</span>
          </h2>
          <dl>
            <div>
              <dt>expected</dt>
              <dd>{proof?.expected}</dd>
            </div>
            <div>
              <dt>seen</dt>
              <dd>{proof?.seen ?? 'nothing in its place'}</dd>
            </div>
            {shown.likely && (
              <div>
                <dt>likely cause</dt>
                <dd>
                  <code>{likelyWords(shown.likely)}</code>
                </dd>
              </div>
            )}
          </dl>
        </>
      ) : (
        <h2>{shown.reason ?? verdictWords[shown.verdict]}</h2>
      )}
    </section>
  )
}
