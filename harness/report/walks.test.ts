import { expect, test } from 'vitest'
import type { TraceObservation } from '../evidence/observation.ts'
import { Evidence } from '../judge/evidence.ts'
import { WalkStore, Walks } from './walks.ts'

const line = (n: number, t: number, more: Partial<TraceObservation> = {}): TraceObservation => ({
  kind: 'trace',
  ref: `evidence/one/traces.jsonl#L${n}`,
  node: 'one',
  netns: 'demo.sleep',
  t,
  traceId: 'a1',
  family: 'ip',
  table: 'nat',
  chain: 'OUTPUT',
  type: 'rule',
  rule: '-A OUTPUT -j ISTIO_OUTPUT',
  verdict: 'jump ISTIO_OUTPUT',
  mark: 0,
  protocol: 'tcp',
  from: '10.0.0.1:1',
  to: '10.0.0.2:80',
  flags: 'S',
  seq: 1,
  ...more,
})

test('a walk is all lines of its id in its namespace and time, once, whichever of them is asked for', () => {
  const store = new WalkStore()
  const lines = [
    line(1, 1000, { table: 'everyhop', chain: 'select' }),
    line(2, 1000),
    line(3, 1001, { chain: 'ISTIO_OUTPUT', rule: '-A ISTIO_OUTPUT -j REDIRECT', verdict: 'accept', mark: 5 }),
    line(4, 1001, { netns: 'demo.other' }),
    line(5, 1001, { traceId: 'b2' }),
    line(7, 1002, { flags: 'A', seq: 2 }),
    line(6, 900_000),
  ]
  const walks = new Walks(store, new Evidence(lines))
  expect(walks.of(lines[2]!)).toEqual({ walk: 0, line: 1 })
  expect(walks.of(lines[1]!)).toEqual({ walk: 0, line: 0 })
  expect(store.walks).toEqual([
    {
      at: 'one/demo.sleep',
      lines: [
        ['nat', 'OUTPUT', 'rule', 0, 'jump ISTIO_OUTPUT', 0, '10.0.0.1:1 → 10.0.0.2:80'],
        ['nat', 'ISTIO_OUTPUT', 'rule', 1, 'accept', 5],
      ],
    },
  ])
  expect(store.rules).toEqual(['-A OUTPUT -j ISTIO_OUTPUT', '-A ISTIO_OUTPUT -j REDIRECT'])
})

test('the kernel gives an id again later: that is another walk', () => {
  const store = new WalkStore()
  const lines = [line(1, 1000), line(2, 900_000)]
  const walks = new Walks(store, new Evidence(lines))
  expect([walks.of(lines[0]!), walks.of(lines[1]!)]).toEqual([
    { walk: 0, line: 0 },
    { walk: 1, line: 0 },
  ])
})
