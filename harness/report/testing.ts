import type { FaultResult } from '../../reports/faults.ts'
import type { Report } from '../../reports/html/report.ts'
import type { CaseResult } from '../../reports/results.ts'
import type { DisruptionExpectation } from '../disruption/expectation.ts'
import { idealDisruption } from '../disruption/judge/ideal.ts'
import type { Observation } from '../evidence/observation.ts'
import { Evidence } from '../judge/evidence.ts'
import type { Expectation } from '../judge/expectation.ts'
import { idealRun } from '../judge/ideal.ts'
import { judgeCase } from '../judge/judge.ts'
import { bindCases, type Participant } from '../matrix/bind.ts'
import { casesOf } from '../matrix/cases.ts'
import { modeOf } from '../modes/index.ts'
import { resultsOf } from '../run/results.ts'
import { loadOf } from './load.ts'
import { type Judged, ReportBuilder } from './report.ts'

const participants = ['one', 'two'].flatMap((node, n) =>
  (['sleep', 'httpbin'] as const).flatMap((app, a) =>
    ['a', 'b', 'plain'].map((suffix, i): Participant => {
      const name = `${app}-${node}-${suffix}`
      const enrolled = suffix !== 'plain'
      return {
        node,
        netns: `demo.${name}`,
        ip: `10.244.${n}.${10 * (a + 1) + i}`,
        identity: enrolled ? `spiffe://cluster.local/ns/demo/sa/${name}` : '',
        veth: `veth${n}${a}${i}`,
        underlay: 'eth0',
        gateway: `10.244.${n}.1`,
        app,
        enrolled,
        impostor: false,
        dnsUncaptured: false,
        principal: `cluster.local/ns/demo/sa/${name}`,
        name,
        namespace: 'demo',
        uid: name,
        clusterIP: `10.96.${n}.${10 * a + i}`,
      }
    }),
  ),
)
const ports = { http: { pod: 8080, service: 80 }, tcp: { pod: 9000, service: 9000 } }

export const failing = 'inpod/mesh-to-mesh/other-node/pod-ip/http'
export const open = 'inpod/mesh-to-mesh/other-node/pod-ip/tcp'
const names = [
  failing,
  open,
  'inpod/mesh-to-plain/same-node/pod-ip/http',
  'inpod/plain-to-mesh/other-node/pod-ip/http',
  'inpod/probe/same-node/pod-ip/http',
]

/** What is wrong with a case's evidence: the rule that turns it around is another, or a packet on its way was not seen. */
function spoilt(id: string, observations: readonly Observation[]): Observation[] {
  if (id === failing)
    return observations.map((o) =>
      o.kind === 'trace' && o.rule?.includes('--to-ports 15001') ? { ...o, rule: '-A ISTIO_OUTPUT -j ACCEPT' } : o,
    )
  if (id !== open) return [...observations]
  const gone = observations.find((o) => o.kind === 'packet' && o.dev === 'eth0' && o.netns === 'node')
  return observations.filter((o) => o !== gone)
}

/** One case of each kind of traffic over evidence as it should be, but for one that fails and one that is inconclusive. */
export function exampleRun(): Judged {
  const { bound } = bindCases(
    casesOf('inpod').filter((c) => names.includes(c.id)),
    participants,
    ports as Parameters<typeof bindCases>[2],
    '10.96.0.10',
  )
  const runs = bound.map((b, index) => {
    const expectation: Expectation = { ...b, index, path: modeOf('inpod').path(b), decisive: 'a listening server' }
    const { attempts, observations } = idealRun(expectation)
    const own = spoilt(b.case.id, observations).map((o) => ({ ...o, ref: `evidence/${index}/${o.ref}` }))
    return { expectation, attempts, observations: own, verdict: judgeCase(expectation, attempts, new Evidence(own)) }
  })
  const { cases } = resultsOf(
    { run: 'example', provider: 'lab', release: 'today', startedAt: '1970-01-01T00:00:00.000Z', notes: [] },
    runs.map((r) => ({ ...r.verdict, release: 'today' })),
  )
  return {
    mode: 'inpod',
    release: 'today',
    folder: 'bundle/inpod-today',
    environment: { kernel: '6.1.0' },
    results: cases,
    expectations: runs.map((r) => r.expectation),
    attempts: runs.flatMap((r) => r.attempts),
    observations: runs.flatMap((r) => r.observations),
    evidence: new Evidence(runs.flatMap((r) => r.observations)),
    captures: true,
  }
}

const fault: FaultResult = {
  fault: 'outbound-redirect-dropped',
  title: 'the rule that turns outbound connections is gone',
  outcome: 'caught',
  traffic: { case: 'mesh-to-mesh/other-node/pod-ip/http', hop: 'app-ztunnel/is-turned-around' },
  expected: { case: 'mesh-to-mesh/other-node/pod-ip/http', hop: 'app-ztunnel/is-turned-around' },
  audit: true,
  cases: [
    { case: 'mesh-to-mesh/other-node/pod-ip/http', verdict: 'fail', hop: 'app-ztunnel/is-turned-around', reason: 'another rule was met' },
  ],
  durationMs: 4000,
}

/** A case without a path: its checks are its account. */
const disruption: CaseResult = {
  id: 'inpod/disruption/ztunnel-rollout',
  mode: 'inpod',
  release: 'today',
  provider: 'lab',
  verdict: 'pass',
  durationMs: 9000,
  legs: [],
  checks: [
    {
      id: 'case/account',
      title: 'loses no request',
      vantage: '',
      verdict: 'pass',
      proofs: [
        {
          kind: 'account',
          label: 'aggregate',
          status: 'proven',
          expected: 'at most 0 of 500 requests are lost',
          seen: '512 asked, 512 served',
          refs: ['load.jsonl#L1'],
        },
      ],
    },
  ],
  reproduce: 'npm start -- --case x',
}

export function exampleReport(): Report {
  const run = exampleRun()
  const builder = new ReportBuilder('1970-01-01T00:00:00.000Z')
  builder.add(run)
  builder.addAlone([disruption])
  const totals = { pass: 4, fail: 1, unsupported: 0, inconclusive: 1, error: 0 }
  const missed: FaultResult = {
    ...fault,
    fault: 'one-that-got-through',
    title: 'nobody noticed this',
    outcome: 'missed',
    why: 'all passed',
    audit: false,
    cases: [{ case: fault.cases[0]!.case, verdict: 'pass' }],
  }
  delete (missed as { traffic?: unknown }).traffic
  const report = builder.report({
    kind: 'run',
    run: 'example',
    provider: 'lab',
    startedAt: '1970-01-01T00:00:00.000Z',
    totals,
    notes: ['a note of the run'],
    notRun: [{ id: 'inpod/probe/other-node/pod-ip/http', mode: 'inpod', release: 'today', reason: 'a node probes only its own pods' }],
    stages: [{ name: 'requests', ms: 1200 }],
    faults: { mode: 'inpod', release: 'today', faults: [fault, missed] },
  })
  const load = loadOf(rollout, new Evidence(idealDisruption(rollout)))!
  return { ...report, cases: report.cases.map((c) => (c.id === disruption.id ? { ...c, load } : c)) }
}

const end = (node: string, name: string) => ({ node, netns: `demo.${name}`, ip: '10.244.1.5' })

/** Forty requests while ztunnel is replaced on both nodes. */
export const rollout: DisruptionExpectation = {
  index: 0,
  case: {
    id: disruption.id,
    mode: 'inpod',
    release: 'today',
    disturbance: 'ztunnel-rollout',
    subject: 'mesh',
    connections: 'new',
    quick: false,
  },
  client: end('one', 'sleep-one-a'),
  server: end('two', 'httpbin-two-a'),
  load: disruption.id,
  controls: { quiet: 'control/quiet', closed: 'control/closed', plain: 'control/plain' },
  least: 10,
  mayBeLost: 0,
  facts: '',
  replaced: { name: 'ztunnel', nodes: ['one', 'two'] },
}
