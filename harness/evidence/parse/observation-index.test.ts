import { expect, test } from 'vitest'
import type { Observation } from '../observation.ts'
import { between, ObservationIndex } from './observation-index.ts'

const place = { node: 'n1', netns: 'demo.sleep' }
const flow = { from: '10.0.0.1:1000', to: '10.0.0.2:80' }
const made = [
  { kind: 'packet', ref: 'p#p0', ...place, t: 30, ...flow },
  { kind: 'trace', ref: 't#L1', ...place, t: 20, from: flow.to, to: flow.from },
  { kind: 'trace', ref: 't#L2', ...place, t: 20, from: '', to: '' },
  { kind: 'conntrack', ref: 'c#L1', ...place, t: 40, orig: flow, reply: { from: '127.0.0.1:15001', to: flow.from } },
  { kind: 'socket', ref: 's#L1', ...place, t: 60, local: flow.from, peer: flow.to },
  { kind: 'served', ref: 'l#L1', ...place, netns: 'demo.httpbin', t: 50, local: flow.to, peer: flow.from },
  { kind: 'marker', ref: 'p#p0', ...place, t: 30, stream: 'packets', id: 'm' },
  { kind: 'marker', ref: 't#L0', ...place, t: 10, stream: 'traces', id: 'm' },
  { kind: 'listener', ref: 'x#L1', ...place, snapshot: 'a', protocol: 'tcp', local: '*:80', mark: 0 },
] as unknown as Observation[]

test('observations are found by place, flow, kind, ref and time', () => {
  const index = new ObservationIndex(made)
  const refs = (list: readonly Observation[]) => list.map(({ ref }) => ref)
  expect(refs(index.kind('marker'))).toEqual(['t#L0', 'p#p0'])
  expect(refs(index.kind('listener'))).toEqual(['x#L1'])
  expect(index.kind('ztunnel-log')).toEqual([])
  expect(refs(index.at('n1', 'demo.sleep'))).toEqual(['t#L0', 't#L1', 't#L2', 'p#p0', 'p#p0', 'c#L1', 's#L1'])
  expect(index.at('n2', 'demo.sleep')).toEqual([])
  expect(refs(index.flow(flow.to, flow.from))).toEqual(['t#L1', 'p#p0', 'c#L1', 'l#L1', 's#L1'])
  expect(refs(index.flow(flow.from, '127.0.0.1:15001'))).toEqual(['c#L1'])
  expect(index.ref('p#p0').map(({ kind }) => kind)).toEqual(['packet', 'marker'])
  expect(index.ref('p#p9')).toEqual([])
})

test('a window has both its ends', () => {
  const list = [1, 2, 2, 3, 5].map((t) => ({ t }))
  expect(between(list, 2, 3)).toEqual([{ t: 2 }, { t: 2 }, { t: 3 }])
  expect(between(list, 4, 4)).toEqual([])
  expect(between(list, 0, 9)).toEqual(list)
  expect(between([], 0, 1)).toEqual([])
})
