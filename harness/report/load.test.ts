import { expect, test } from 'vitest'
import { idealDisruption } from '../disruption/judge/ideal.ts'
import type { Observation } from '../evidence/observation.ts'
import { Evidence } from '../judge/evidence.ts'
import { loadOf } from './load.ts'
import { rollout } from './testing.ts'

const world = idealDisruption(rollout)
const told = (observations: readonly Observation[]) => loadOf(rollout, new Evidence(observations))!

test('each request with when it began, how long it took and what became of it; what was done to the mesh, and when both ends were in it', () => {
  const load = told(world)
  expect(load).toMatchObject({ client: { netns: 'demo.sleep-one-a' }, server: { netns: 'demo.httpbin-two-a' } })
  expect(load.requests).toHaveLength(40)
  expect(load.requests.map((r) => r.at)).toEqual(load.requests.map((r) => r.at).toSorted((a, b) => a - b))
  expect(new Set(load.requests.map((r) => `${r.fate} ${r.took} ${r.readable}`))).toEqual(new Set(['delivered 10 false']))
  expect(load.lasted).toBeGreaterThan(400)
  expect(load.events.map((e) => `${e.netns} ${e.what}`)).toEqual([
    ' asked for',
    'istio-system.one ready',
    'istio-system.one ending',
    'istio-system.two ready',
    'istio-system.two ending',
    ' done',
  ])
  expect(load.sealed).toEqual([[0, load.lasted]])
})

test('what failed, was readable or was never told of, and a pod that leaves', () => {
  const answers = world.filter((o) => o.kind === 'load-answer' && o.load === rollout.load)
  const [first, second] = answers as [Extract<Observation, { kind: 'load-answer' }>, Observation]
  const changed = world.flatMap((o): Observation[] => {
    if (o === second) return []
    return o === first ? [{ ...first, ok: false, error: 'ECONNRESET' }] : [o]
  })
  const sighting = {
    kind: 'sighting',
    t: first.t + 15_000,
    node: 'one',
    netns: 'node',
    dev: 'eth0',
    direction: 'out',
    ref: 'x#L1',
  } as const
  const third = answers[2] as typeof first
  const left = { kind: 'event', t: first.t + 30_000, node: 'two', netns: 'demo.httpbin-two-a', what: 'left', ref: 'x#L2' } as const
  const load = told([...changed, { ...sighting, token: third.token }, left])
  expect(load.requests).toHaveLength(39)
  expect(load.requests[0]).toMatchObject({ fate: 'reset', readable: false })
  expect(load.requests[1]).toMatchObject({ fate: 'delivered', readable: true })
  expect(load.sealed).toHaveLength(1)
  expect(load.sealed[0]![1]).toBeLessThan(load.lasted)
})

test('nothing where it was not begun; as far as it came where it did not end', () => {
  expect(loadOf(rollout, new Evidence([]))).toBeUndefined()
  const cut = world.filter((o) => !(o.kind === 'event' && o.what === 'load-ends') && o.kind !== 'load-end')
  const load = told(cut)
  expect(load.requests).toHaveLength(40)
  expect(load.lasted).toBeGreaterThan(390)
})
