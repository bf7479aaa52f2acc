import { describe, expect, test } from 'vitest'
import type { Observation } from '../evidence/observation.ts'
import { type AppPorts, bindCases, type Participant } from '../matrix/bind.ts'
import { casesOf } from '../matrix/cases.ts'
import { path } from '../modes/inpod/path.ts'
import { Evidence } from './evidence.ts'
import type { Expectation } from './expectation.ts'
import { idealRun } from './ideal.ts'
import { judgeCase } from './judge.ts'
import type { CaseVerdict, HopVerdict } from './verdict.ts'

const ports: AppPorts = { http: { pod: 8080, service: 80 }, tcp: { pod: 9000, service: 9000 } }

function participants(): Participant[] {
  return ['one', 'two'].flatMap((node, n) =>
    (['sleep', 'httpbin'] as const).flatMap((app, a) =>
      ['a', 'b', 'plain'].map((suffix, i): Participant => {
        const name = `${app}-${node}-${suffix}`
        const ip = `10.244.${n}.${10 * (a + 1) + i}`
        const enrolled = suffix !== 'plain'
        return {
          node,
          netns: `demo.${name}`,
          ip,
          identity: enrolled ? `spiffe://cluster.local/ns/demo/sa/${name}` : '',
          veth: `veth${n}${a}${i}`,
          underlay: 'eth0',
          gateway: `10.244.${n}.1`,
          app,
          enrolled,
          principal: `cluster.local/ns/demo/sa/${name}`,
          name,
          namespace: 'demo',
          uid: name,
          clusterIP: `10.96.${n}.${10 * a + i}`,
        }
      }),
    ),
  )
}

const { bound, unbound } = bindCases(casesOf('inpod'), participants(), ports)
const expectations: Expectation[] = bound.map((b, index) => ({ ...b, index, path: path(b), decisive: 'its condition' }))
const hopsOf = (v: CaseVerdict): HopVerdict[] => [...v.legs.flatMap((l) => l.hops), ...v.checks]

test('every cell of the matrix finds a pair in the two-node topology', () => {
  expect(unbound).toEqual([])
  expect(bound).toHaveLength(29)
})

describe.each(expectations.map((e) => [e.case.id, e] as const))('%s', (_, expectation) => {
  const { attempts, observations } = idealRun(expectation)
  const judge = (o: readonly Observation[]) => judgeCase(expectation, attempts, new Evidence(o))
  const clean = judge(observations)
  const referring = (ref: string) => hopsOf(clean).filter((h) => h.proofs.some((p) => p.refs.includes(ref)))

  test('passes when everything that its path promises was seen', () => {
    expect(clean.reason).toBeUndefined()
    expect(clean.verdict).toBe('pass')
  })

  test('taking away an observation changes exactly the hops that refer to it', () => {
    for (const gone of observations) {
      const verdict = judge(observations.filter((o) => o !== gone))
      const before = hopsOf(clean)
      const changed = hopsOf(verdict).filter((h, i) => JSON.stringify(h) !== JSON.stringify(before[i]))
      expect(
        changed.map((h) => h.id),
        `without ${gone.kind} ${gone.ref}`,
      ).toEqual(referring(gone.ref).map((h) => h.id))
      expect(verdict.verdict === 'pass', `without ${gone.kind} ${gone.ref}`).toBe(referring(gone.ref).length === 0)
    }
  })

  test('altering a mark, an address or a rule turns the hops that it proves to fail', () => {
    for (const o of observations) {
      for (const altered of alterations(o)) {
        const proves = clean.legs.flatMap((l) => l.hops).filter((h) => h.proofs.some((p) => p.ref === o.ref))
        const verdict = judge(observations.map((x) => (x === o ? altered : x)))
        if (proves.length > 0) expect(verdict.verdict, JSON.stringify(altered)).toBe('fail')
        const after = new Map(hopsOf(verdict).map((h) => [h.id, h.verdict]))
        for (const h of proves) expect(after.get(h.id), `${h.id} with ${JSON.stringify(altered)}`).toBe('fail')
      }
    }
  })
})

/** The observation with its mark, an address, or its rule changed. */
function alterations(o: Observation): Observation[] {
  switch (o.kind) {
    case 'packet':
      return [{ ...o, from: o.from.replace(/^\d+/, '99') }]
    case 'trace':
      return [{ ...o, mark: o.mark + 1 }, ...(o.rule ? [{ ...o, rule: `${o.rule} -m altered` }] : [])]
    case 'conntrack':
      return [
        { ...o, mark: o.mark + 1 },
        { ...o, orig: { ...o.orig, from: o.orig.from.replace(/^\d+/, '99') } },
      ]
    case 'socket':
      return [{ ...o, mark: o.mark + 1 }]
    default:
      return []
  }
}

describe('the first broken hop', () => {
  const expectation = expectations.find((e) => e.case.id === 'inpod/plain-to-mesh/other-node/pod-ip/http')!
  const { attempts, observations } = idealRun(expectation)
  const failed = attempts.map((a) => (a.role === 'main' ? { ...a, result: { ...a.result, ok: false, echoed: false } } : a))

  test('is where the request got lost, not where its reply was first missed', () => {
    // The app's answer finds no way to lo: nothing after the SYN of the last leg exists.
    const lost = observations.filter(
      (o) => !(o.netns === expectation.server.netns && o.kind === 'packet' && o.dev === 'lo' && !o.flags.match(/^S$/)),
    )
    const unanswered = lost.filter(
      (o) => !(o.kind === 'packet' && o.flags === 'PA' && o.from.endsWith(':8080')) && o.kind !== 'served' && o.kind !== 'ztunnel-log',
    )
    const verdict = judgeCase(
      expectation,
      failed,
      new Evidence([...unanswered, ...observations.filter((o) => o.kind === 'served' && !o.body.includes('and more'))]),
    )
    expect(verdict.verdict).toBe('fail')
    expect(verdict.brokenHop).toBe('ztunnel-app/is-answered-by-way-of-lo')
    expect(verdict.likely).toContain('--restore-mark')
  })
})
