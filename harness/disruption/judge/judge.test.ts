import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Observation } from '../../evidence/observation.ts'
import { Evidence } from '../../judge/evidence.ts'
import type { CaseVerdict } from '../../judge/verdict.ts'
import type { DisruptionExpectation } from '../expectation.ts'
import { idealDisruption } from './ideal.ts'
import { judgeDisruption } from './judge.ts'

const place = (node: string, name: string) => ({ node, netns: `demo.${name}`, ip: '10.0.0.1' })
const expectation = (
  more: Partial<DisruptionExpectation> = {},
  of: Partial<DisruptionExpectation['case']> = {},
): DisruptionExpectation => ({
  index: 0,
  case: {
    id: 'inpod/disruption/x',
    mode: 'inpod',
    release: 'today',
    disturbance: 'label-off-and-on',
    subject: 'server',
    connections: 'new',
    quick: false,
    ...of,
  },
  client: place('one', 'client'),
  server: place('two', 'server'),
  load: 'inpod/disruption/x',
  controls: { quiet: 'control/quiet', closed: 'control/closed', plain: 'control/plain' },
  least: 10,
  mayBeLost: 2,
  facts: '',
  ...more,
})
const rollout = expectation(
  { mayBeLost: 0, replaced: { name: 'ztunnel', nodes: ['one', 'two'] } },
  { disturbance: 'ztunnel-rollout', subject: 'mesh' },
)
const label = expectation()
const { mayBeLost: _, ...unlimited } = expectation({ outcome: 'reset', least: 1 }, { disturbance: 'leaving', connections: 'established' })

const judged = (e: DisruptionExpectation, world: readonly Observation[]) => judgeDisruption(e, new Evidence(world))
const answers = (world: readonly Observation[], load: string) => world.filter((o) => o.kind === 'load-answer' && o.load === load)
/** The world with some answers of the load turned into failures. */
const failing = (e: DisruptionExpectation, world: readonly Observation[], count: number, error = 'ECONNREFUSED') => {
  const gone = new Set(answers(world, e.load).slice(3, 3 + count))
  return world.map((o) => (gone.has(o) ? ({ ...o, ok: false, error } as Observation) : o))
}

describe.for([
  ['a roll-out', rollout],
  ['a label off and on', label],
  ['connections at leaving', unlimited as DisruptionExpectation],
] as const)('%s', ([, e]) => {
  const world = idealDisruption(e)

  test('passes when all is as it must be', () => expect(judged(e, world)).toMatchObject({ verdict: 'pass' }))

  test('without any one observation, only checks that refer to it change, and none becomes worse than inconclusive', () => {
    const clean = judged(e, world)
    const text = (v: CaseVerdict) => new Map(v.checks.map((c) => [c.id, JSON.stringify(c)]))
    const referring = new Map(clean.checks.map((c) => [c.id, new Set(c.proofs.flatMap((p) => p.refs))]))
    fc.assert(
      fc.property(fc.constantFrom(...world), (gone) => {
        const after = judged(
          e,
          world.filter((o) => o !== gone),
        )
        if (after.checks.length === 0) return expect(after.verdict).toBe('inconclusive')
        const [before, now] = [text(clean), text(after)]
        const changed = [...before.keys()].filter((id) => before.get(id) !== now.get(id))
        const referred = [...referring].some(([, refs]) => refs.has(gone.ref))
        if (!referred) expect({ changed, gone }).toEqual({ changed: [], gone })
        expect(after.verdict).not.toBe('fail')
      }),
      { numRuns: 400, seed: 1121 },
    )
  })
})

test('one more lost than may be fails; as many as may be pass', () => {
  const world = idealDisruption(label)
  expect(judged(label, failing(label, world, 2)).verdict).toBe('pass')
  expect(judged(label, failing(label, world, 3))).toMatchObject({ verdict: 'fail', brokenHop: 'load/lost' })
  const strict = idealDisruption(rollout)
  expect(judged(rollout, failing(rollout, strict, 1, 'ECONNRESET'))).toMatchObject({ verdict: 'fail', brokenHop: 'load/lost' })
})

test('a request that two servers saw fails', () => {
  const world = idealDisruption(rollout)
  const token = (answers(world, rollout.load)[4] as { token: string }).token
  const served = world.find((o) => o.kind === 'served' && o.body.includes(token))!
  expect(judged(rollout, [...world, { ...served, ref: 'twice#L1' }])).toMatchObject({ verdict: 'fail', brokenHop: 'load/duplicated' })
})

describe('a token that is readable', () => {
  /** Seen on the wire, this long after a line of the timeline. */
  const sighted = (e: DisruptionExpectation, what: string, after: number, seq: number): Observation[] => {
    const world = idealDisruption(e)
    const event = world.find((o) => o.kind === 'event' && o.what === what && o.netns === e.server.netns && o.t > 2_000_100)
    const { token } = answers(world, e.load)[seq] as { token: string }
    const at = (event as { t: number }).t + after
    return [...world, { kind: 'sighting', ref: 'leak#L1', node: 'one', netns: 'node', dev: 'eth0', direction: 'out', token, t: at }]
  }

  test('while both are enrolled fails', () => {
    const world = idealDisruption(rollout)
    const [first] = answers(world, rollout.load)
    const { token, t } = first as { token: string; t: number }
    const leak: Observation = { kind: 'sighting', ref: 'leak#L1', node: 'one', netns: 'node', dev: 'eth0', direction: 'out', token, t }
    expect(judged(rollout, [...world, leak])).toMatchObject({ verdict: 'fail', brokenHop: 'load/readable' })
  })

  test('while the server is out of the mesh does not', () => {
    expect(judged(label, sighted(label, 'left', 1, 5)).verdict).toBe('pass')
  })

  test('just before it left fails', () => {
    expect(judged(label, sighted(label, 'left', -1, 5))).toMatchObject({ verdict: 'fail', brokenHop: 'load/readable' })
  })

  test("after the server is enrolled again fails, but for requests that began before its client's proxy was told", () => {
    const last = answers(idealDisruption(label), label.load).length - 1
    expect(judged(label, sighted(label, 'enrolled', 1000, last))).toMatchObject({ verdict: 'fail', brokenHop: 'load/readable' })
    expect(judged(label, sighted(label, 'enrolled', 1000, 5)).verdict).toBe('pass')
    expect(judged(label, sighted(label, 'enrolled', 2_100_000, 5))).toMatchObject({ verdict: 'fail', brokenHop: 'load/readable' })
  })

  test("after its client is enrolled again always fails: that one's own proxy has nobody to wait for", () => {
    const client = expectation({}, { subject: 'client' })
    const world = idealDisruption(client)
    const event = world.find((o) => o.kind === 'event' && o.what === 'enrolled' && o.netns === client.client.netns && o.t > 2_000_100)!
    const { token } = answers(world, client.load)[5] as { token: string }
    const t = (event as { t: number }).t + 1000
    const leak: Observation = { kind: 'sighting', ref: 'leak#L1', node: 'one', netns: 'node', dev: 'eth0', direction: 'out', token, t }
    expect(judged(client, world).verdict).toBe('pass')
    expect(judged(client, [...world, leak])).toMatchObject({ verdict: 'fail', brokenHop: 'load/readable' })
  })
})

test('connections that end otherwise than the table says fail', () => {
  const e = unlimited as DisruptionExpectation
  const world = idealDisruption(e)
  for (const error of ['ETIMEDOUT', 'ECLOSED']) {
    const other = world.map((o) => (o.kind === 'load-answer' && o.error === 'ECONNRESET' ? { ...o, error } : o))
    expect(judged(e, other)).toMatchObject({ verdict: 'fail', brokenHop: 'load/established' })
  }
  expect(judged({ ...e, outcome: 'survives' }, world)).toMatchObject({ verdict: 'fail', brokenHop: 'load/established' })
  expect(judged({ ...e, outcome: 'hang' }, idealDisruption({ ...e, outcome: 'hang' })).verdict).toBe('pass')
  expect(judged({ ...e, outcome: 'survives' }, idealDisruption({ ...e, outcome: 'survives' })).verdict).toBe('pass')
})

describe('is inconclusive', () => {
  const world = idealDisruption(rollout)
  const without = (test: (o: Observation) => boolean) =>
    judged(
      rollout,
      world.filter((o) => !test(o)),
    )

  test('when nothing was replaced', () => {
    expect(without((o) => o.kind === 'event' && o.what === 'ready' && o.node === 'two')).toMatchObject({
      verdict: 'inconclusive',
      reason: expect.stringContaining('ztunnel on two: ready'),
    })
  })
  test('when the undisturbed load lost something, or the closed server nothing', () => {
    expect(judged(rollout, failing({ ...rollout, load: 'control/quiet' }, world, 1)).verdict).toBe('inconclusive')
    const cured = world.map((o) => (o.kind === 'load-answer' && o.load === 'control/closed' ? { ...o, ok: true } : o))
    expect(judged(rollout, cured).verdict).toBe('inconclusive')
  })
  test('when the machine is so busy that the undisturbed load is late', () => {
    const [first] = answers(world, 'control/quiet')
    const slow = world.map((o) => (o === first ? ({ ...o, endedAt: (o as { startedAt: number }).startedAt + 1500 } as Observation) : o))
    expect(judged(rollout, slow)).toMatchObject({ verdict: 'inconclusive', reason: expect.stringContaining('too busy to tell') })
  })
  test('when the search was blind, or packets were lost', () => {
    expect(without((o) => o.kind === 'sighting' && o.netns === rollout.server.netns).reason).toContain('the search found each token')
    const lost: Observation = { kind: 'loss', ref: 'stats#L1', node: 'two', netns: 'node', t: 9e9, stream: 'packets', lost: 1 }
    expect(judged(rollout, [...world, lost]).reason).toContain('node lost 1')
    expect(judged(rollout, [...world, { ...lost, netns: rollout.server.netns }]).verdict).toBe('inconclusive')
    for (const elsewhere of [{ netns: 'demo.somebody' }, { node: 'three' }, { stream: 'traces' }, { lost: 0 }, { t: 0 }])
      expect(judged(rollout, [...world, { ...lost, ...elsewhere } as Observation]).verdict, JSON.stringify(elsewhere)).toBe('pass')
  })
  test('when the load was not made, or too small', () => {
    expect(without((o) => o.kind === 'event' && o.what === 'load-begins')).toMatchObject({ verdict: 'inconclusive', checks: [] })
    expect(judged({ ...rollout, least: 1000 }, world)).toMatchObject({
      verdict: 'inconclusive',
      reason: expect.stringContaining('at least 1000'),
    })
  })
})
