import { describe, expect, test } from 'vitest'
import type { Observation } from '../evidence/observation.ts'
import { casesOf } from '../matrix/cases.ts'
import { modeNames, modeOf } from '../modes/index.ts'
import { Evidence } from './evidence.ts'
import { idealRun } from './ideal.ts'
import { judgeCase } from './judge.ts'
import { promised } from './testing.ts'
import type { CaseVerdict, HopVerdict } from './verdict.ts'

const promises = modeNames.flatMap((mode) => modeOf(mode).releases.map((release) => ({ mode, release, ...promised(mode, release) })))
const expectations = promises.flatMap((p) => p.expectations)
const hopsOf = (v: CaseVerdict): HopVerdict[] => [...v.legs.flatMap((l) => l.hops), ...v.checks]

test('a case whose path has no hop is never proven, whatever became of its request', () => {
  const expectation = expectations[0]!
  const { attempts, observations } = idealRun(expectation)
  const seen = new Evidence(observations)
  expect(judgeCase(expectation, attempts, seen).verdict).toBe('pass')
  expect(judgeCase({ ...expectation, path: { ...expectation.path, legs: [] } }, attempts, seen)).toMatchObject({
    verdict: 'inconclusive',
    reason: 'no path is written down for it: nothing can be proven',
  })
})

test('every cell of the matrix finds a pair in the two-node topology', () => {
  expect(promises.flatMap((p) => p.unbound)).toEqual([])
  for (const p of promises) {
    const { limit } = modeOf(p.mode)
    const possible = casesOf(p.mode, p.release).filter((c) => limit(c) === undefined)
    expect(p.expectations).toHaveLength(possible.length)
    expect(possible.length).toBeGreaterThan(50)
  }
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
    const seen = [...unanswered, ...observations.filter((o) => o.kind === 'served' && !o.body.includes('and more'))]
    const verdict = judgeCase(expectation, failed, new Evidence(seen))
    expect(verdict.verdict).toBe('fail')
    expect(verdict.brokenHop).toBe('ztunnel-app/is-answered-by-way-of-lo')
    expect(verdict.likely).toContain('--restore-mark')
    const withoutRule = judgeCase(expectation, failed, new Evidence(seen.filter((o) => o.kind !== 'policy-rule')))
    expect(withoutRule.brokenHop).toBe('ztunnel-app/is-answered-by-way-of-lo')
    expect(withoutRule.likely).toContain('policy rule "32764: from all fwmark 0x111/0xfff lookup 100"')
  })
})

describe('what a case rests on besides its path', () => {
  const expectation = expectations.find((e) => e.case.id === 'inpod/mesh-to-mesh/other-node/pod-ip/http/pooled')!
  const { attempts, observations } = idealRun(expectation)
  const main = attempts.find((a) => a.role === 'main')!
  const judge = (more: readonly object[], with_: readonly Observation[] = observations, made = attempts) =>
    judgeCase(expectation, made, new Evidence([...with_, ...more.map((o, i) => ({ ref: `extra#${i}`, ...o }) as unknown as Observation)]))
  const check = (v: CaseVerdict, id: string) => v.checks.find((c) => c.id === `case/${id}`)!.verdict
  const place = { node: expectation.server.node, netns: 'demo.sleep-two-plain' }
  const packet = {
    ...observations.find((o) => o.kind === 'packet' && o.flags === 'PA')!,
    ...place,
    dev: 'eth0',
    t: main.window.from + 5,
    from: '10.9.9.9:1',
    to: '10.9.9.8:2',
  }

  test('the token at a vantage point of somebody else fails it', () => {
    const leak = { ...packet, payload: Buffer.from(`xx${main.token}`), payloadLength: 34 }
    const verdict = judge([leak])
    expect(verdict).toMatchObject({ verdict: 'fail', brokenHop: 'case/sentinel' })
    expect(verdict.reason).toContain('demo.sleep-two-plain/eth0')
    expect(judge([{ ...leak, payload: Buffer.from('something else') }]).verdict).toBe('pass')
  })

  test('a packet of its connections where the path lists none fails it', () => {
    const stray = {
      ...packet,
      from: `${expectation.client.ip}:40001`,
      to: `${expectation.server.ip}:8080`,
      payload: Buffer.alloc(0),
      payloadLength: 0,
    }
    expect(judge([stray])).toMatchObject({ verdict: 'fail', brokenHop: 'case/closed-world' })
  })

  test('the end of an earlier connection of the same pair is none of its packets, unless it was opened again', () => {
    const late = {
      ...packet,
      from: `${expectation.client.ip}:39999`,
      to: `${expectation.server.ip}:8080`,
      flags: 'FA',
      payload: Buffer.alloc(0),
    }
    const opening = (t: number) => ({ ...late, ref: 'opening', flags: 'S', t })
    const before = judge([opening(main.window.from - 1000), late])
    expect(before.verdict).toBe('pass')
    expect(before.checks.find((c) => c.id === 'case/closed-world')!.proofs[0]!.refs).toContain('opening')
    expect(judge([opening(main.window.from - 1000), opening(main.window.from + 4), late]).brokenHop).toBe('case/closed-world')
    expect(judge([{ ...opening(main.window.from - 1000), dev: 'lo' }, late]).brokenHop).toBe('case/closed-world')
    // Where the SYN was on its way to an address that was translated, only the answer has the connection's own.
    const translated = { ...opening(main.window.from - 1000), to: '127.0.0.1:15001' }
    const answer = { ...opening(main.window.from - 900), from: late.to, to: late.from, flags: 'SA' }
    expect(judge([translated, answer, late]).verdict).toBe('pass')
    expect(judge([translated, late]).brokenHop).toBe('case/closed-world')
  })

  test('a second SYN to the tunnel that it must reuse fails it', () => {
    const syn = observations.find((o) => o.kind === 'packet' && o.flags === 'S' && o.to.endsWith(':15008'))!
    const verdict = judge([{ ...syn, from: `${expectation.client.ip}:49999`, t: main.window.from + 5 }])
    expect(verdict.verdict).toBe('fail')
    expect(check(verdict, 'reused')).toBe('fail')
    expect(verdict.brokenHop).toBe('case/reused')
  })

  test('a stream that lost something makes it inconclusive, whatever else was seen', () => {
    const loss = {
      kind: 'loss',
      node: expectation.server.node,
      netns: expectation.server.netns,
      t: main.window.to,
      stream: 'traces',
      lost: 1,
    }
    const verdict = judge([loss])
    expect(verdict.verdict).toBe('inconclusive')
    expect(verdict.reason).toContain('lost 1')
    expect(judge([{ ...loss, lost: 0 }]).verdict).toBe('pass')
  })

  test('a stream that nobody asked what it lost makes it inconclusive, and so does one that was asked before the request or long after it only', () => {
    const counts = observations.filter((o) => o.kind === 'loss')
    expect(counts.length).toBeGreaterThan(8)
    for (const count of counts) {
      const without = observations.filter((o) => o !== count)
      const at = (t: number) => [...without, { ...count, t } as Observation]
      for (const left of [without, at(main.window.from - 1), at(main.window.to + 5000)]) {
        const verdict = judge([], left)
        expect(verdict.verdict).toBe('inconclusive')
        expect(verdict.reason).toContain(`a count of what the ${count.stream} of ${count.node}/${count.netns} lost`)
      }
    }
  })

  test('a marker that one stream did not show makes it inconclusive', () => {
    for (const marker of observations.filter((o) => o.kind === 'marker')) {
      expect(
        judge(
          [],
          observations.filter((o) => o !== marker),
        ).verdict,
        marker.ref,
      ).toBe('inconclusive')
    }
  })

  test('an unmeshed request that is not served makes it inconclusive', () => {
    const failed = attempts.map((a) => (a.role === 'positive' ? { ...a, result: { ...a.result, ok: false, echoed: false } } : a))
    expect(check(judge([], observations, failed), 'positive')).toBe('fail')
    expect(judge([], observations, failed).verdict).toBe('inconclusive')
  })

  test('a negative control that is served all the same, or was never made, makes it inconclusive', () => {
    const negative = attempts.find((a) => a.role === 'negative')!
    const served = {
      kind: 'served',
      ...place,
      t: negative.window.from + 1,
      protocol: 'http',
      peer: 'a:1',
      local: 'b:2',
      body: negative.token,
    }
    const answered = attempts.map((a) => (a === negative ? { ...a, result: { ...a.result, ok: true, echoed: true } } : a))
    expect(judge([served], observations, answered).verdict).toBe('inconclusive')
    expect(
      judge(
        [],
        observations,
        attempts.filter((a) => a !== negative),
      ).verdict,
    ).toBe('inconclusive')
  })

  test('without its request it is inconclusive and says so', () => {
    const verdict = judge(
      [],
      observations,
      attempts.filter((a) => a !== main),
    )
    expect(verdict).toMatchObject({ verdict: 'inconclusive', reason: 'its request was not made before the run ended' })
  })
})
