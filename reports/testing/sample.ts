import { type CaseResult, type Results, verdicts } from '../results.ts'

type Hop = CaseResult['checks'][number]

export const sampleHop = (over: Partial<Hop> = {}): Hop => ({
  id: 'app-ztunnel/runs-over-lo',
  title: 'runs over lo',
  vantage: 'one/demo.a/lo',
  verdict: 'pass',
  proofs: [
    {
      kind: 'packet',
      label: 'observed',
      status: 'proven',
      expected: 'syn a → b',
      ref: 'evidence/one/packets.pcapng#p1',
      refs: ['evidence/one/packets.pcapng#p1'],
    },
  ],
  ...over,
})

export const sampleCase = (over: Partial<CaseResult> = {}): CaseResult => {
  const id = over.id ?? 'inpod/mesh-to-mesh/same-node/pod-ip/http'
  return {
    id,
    mode: 'inpod',
    release: 'today',
    provider: 'lab',
    axes: { traffic: 'mesh-to-mesh', placement: 'same-node', address: 'pod-ip', protocol: 'http', policy: 'none', connection: 'new' },
    verdict: 'pass',
    durationMs: 12,
    legs: [{ id: 'app-ztunnel', title: 'app → ztunnel', row: 'clear', hops: [sampleHop()] }],
    checks: [],
    reproduce: `npm start -- --case '${id}'`,
    ...over,
  }
}

/** Failed at a hop whose rule, addresses and words hold what XML, Markdown and workflow commands could take for their own. */
export const failedCase = (over: Partial<CaseResult> = {}): CaseResult =>
  sampleCase({
    id: 'inpod/probe/same-node/pod-ip/http',
    verdict: 'fail',
    reason: 'runs over lo: <expected> 100% "packet" & `none`\nin a second line',
    brokenHop: 'app-ztunnel/runs-over-lo',
    likely: 'rule "-A ISTIO_OUTPUT ! -d 127.0.0.1/32 -j REDIRECT"',
    axes: { traffic: 'probe' },
    legs: [
      {
        id: 'app-ztunnel',
        title: 'app → ztunnel',
        row: 'clear',
        hops: [
          sampleHop({
            verdict: 'fail',
            proofs: [
              {
                kind: 'packet',
                label: 'observed',
                status: 'contradicted',
                expected: 'a|b `c`',
                seen: '[R] a → b\u0007',
                refs: ['x#L1'],
                ref: 'x#L1',
              },
            ],
          }),
        ],
      },
    ],
    ...over,
  })

export const sampleResults = (cases: readonly CaseResult[], over: Partial<Results> = {}): Results => ({
  schema: 1,
  run: '20260102-030405-abcd',
  provider: 'lab',
  release: 'today',
  startedAt: '2026-01-02T03:04:05.678Z',
  totals: Object.fromEntries(verdicts.map((v) => [v, cases.filter((c) => c.verdict === v).length])) as Results['totals'],
  cases: [...cases],
  notes: [],
  ...over,
})
