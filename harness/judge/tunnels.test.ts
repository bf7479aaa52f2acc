import { describe, expect, test } from 'vitest'
import type { Observation, PacketObservation, TraceObservation } from '../evidence/observation.ts'
import { shortId } from '../matrix/cases.ts'
import { Evidence } from './evidence.ts'
import { idealRun } from './ideal.ts'
import { judgeCase } from './judge.ts'
import { promised } from './testing.ts'

// Mode iptables: SYNs go through tunnels, all else beside them.
const expectation = promised('iptables', '1.20').expectations.find((e) => shortId(e.case) === 'mesh-to-mesh/other-node/cluster-ip/http')!
const { attempts, observations } = idealRun(expectation)
const main = attempts.find((a) => a.role === 'main')!
const judge = (seen: readonly object[]) => judgeCase(expectation, attempts, new Evidence(seen as Observation[]))
const isPacket = (o: Observation): o is PacketObservation => o.kind === 'packet'

/** The first SYN's datagram on the client's node, and one later packet of each way as it goes by there. */
const wrapped = observations.filter(isPacket).find((p) => p.tunnel && p.netns === 'node' && p.node === 'one')!
const beside = observations.filter(isPacket).filter((p) => p.dev === wrapped.dev && p.node === wrapped.node && p.protocol === 'tcp')
const data = beside.find((p) => p.to === wrapped.tunnel!.to && p.payloadLength > 0)!
const answer = beside.find((p) => p.from === wrapped.tunnel!.to && p.flags === 'SA')!
const changed = (change: (p: PacketObservation) => object) => observations.map((o) => (o === wrapped ? change(wrapped) : o))
const more = (...extra: object[]) => [...observations, ...extra.map((o, i) => ({ ...o, ref: `extra#${i}` }))]
const { payload, payloadLength, from, to, macFrom, macTo, flags, seq, ack, protocol } = data
const frame = { payload, payloadLength, from, to, macFrom, macTo, flags, seq, ack, protocol }

test('as it must be it passes', () => {
  expect([wrapped.dev, wrapped.tunnel?.vni, data.flags, answer.direction]).toEqual([expectation.client.proxy!.veth, 1001, 'PA', 'in'])
  expect(judge(observations)).toMatchObject({ verdict: 'pass' })
})

describe('the SYN', () => {
  const hop = 'app-ztunnel/is-wrapped-for-ztunnel'
  test.each([
    ['with another identifier', (p: PacketObservation) => ({ ...p, tunnel: { ...p.tunnel, vni: 1000 } })],
    ['under VXLAN’s header', (p: PacketObservation) => ({ ...p, tunnel: { ...p.tunnel, header: 'vxlan' } })],
    ['to another port of ztunnel’s', (p: PacketObservation) => ({ ...p, to: p.to.replace(':6081', ':6082') })],
    ['from another address of the node', (p: PacketObservation) => ({ ...p, from: p.from.replace(/^[\d.]+/, '172.18.0.2') })],
    ['not in a tunnel at all', (p: PacketObservation) => ({ ...p, ...p.tunnel, tunnel: undefined })],
  ])('%s fails there', (_, change) => {
    const verdict = judge(changed(change))
    expect(verdict).toMatchObject({ verdict: 'fail', brokenHop: hop })
    expect(verdict.reason).toContain('seen: [S]')
  })

  test('that was not seen in its tunnel proves nothing', () => {
    const gone = judge(observations.filter((o) => o !== wrapped))
    expect(gone).toMatchObject({ verdict: 'inconclusive', reason: expect.stringContaining('inside GENEVE 1001') })
  })

  test('once more in its tunnel is still the SYN, though its hash be another', () => {
    expect(judge(more({ ...wrapped, t: wrapped.t + 50 })).verdict).toBe('pass')
    const again = { ...wrapped, t: wrapped.t - 0.5, from: wrapped.from.replace(/\d+$/, '50000') }
    expect(judge(more(again)).verdict).toBe('pass')
    expect(judge(more({ ...again, to: again.to.replace(':6081', ':6082') })).verdict).toBe('fail')
  })
})

describe('anything else in a tunnel strays', () => {
  const istioout = observations.filter(isPacket).find((p) => p.dev === 'istioout')!
  test.each([
    ['data, wrapped', { ...wrapped, t: data.t, tunnel: { header: 'geneve', vni: 1001, ...frame } }],
    ['data, on its way into the tunnel', { ...istioout, ...frame, t: data.t }],
    ['data, in the other tunnel', { ...wrapped, t: data.t, tunnel: { header: 'geneve', vni: 1000, ...frame } }],
    [
      'the answer, wrapped by ztunnel',
      {
        ...wrapped,
        direction: 'in',
        t: answer.t,
        from: wrapped.to,
        to: wrapped.from,
        tunnel: { ...wrapped.tunnel, from: answer.from, to: answer.to, flags: 'SA' },
      },
    ],
  ])('%s', (_, stray) => {
    expect(judge(more({ ...stray, payload: Buffer.alloc(0) }))).toMatchObject({ verdict: 'fail', brokenHop: 'case/closed-world' })
  })

  test('but of other connections it does not matter', () => {
    const other = { ...frame, from: '10.9.9.9:1', to: '10.9.9.8:2' }
    expect(judge(more({ ...wrapped, t: data.t, tunnel: { header: 'geneve', vni: 1001, ...other } })).verdict).toBe('pass')
  })

  test('readable data on its way into the tunnel is a leak too', () => {
    const leak = { ...istioout, ...frame, t: data.t, payload: Buffer.from(main.token), payloadLength: 32 }
    expect(
      judge(more(leak))
        .checks.filter((c) => c.verdict === 'fail')
        .map((c) => c.id),
    ).toEqual(['case/sentinel', 'case/closed-world'])
  })
})

describe('a table that is there twice, of nf_tables and of iptables-legacy', () => {
  const traces = observations.filter((o): o is TraceObservation => o.kind === 'trace')
  const marked = traces.find((t) => t.rule?.includes('--set-xmark 0x210/0x210'))!
  const untouched = traces.find(
    (t) => t.node === 'two' && t.table === 'mangle' && t.chain === 'PREROUTING' && t.type === 'policy' && t.flags === 'S',
  )!
  const legacy = (like: TraceObservation, more: object = {}) => ({
    ...{ ...like, backend: 'legacy', traceId: 'other', chain: 'PREROUTING', type: 'policy', verdict: 'accept', rule: undefined },
    ...more,
  })

  test('a rule that is met in one of them is met', () => {
    for (const t of [marked.t - 1, marked.t + 1]) expect(judge(more({ ...legacy(marked), t })).verdict).toBe('pass')
    const alone = judge(more(legacy(marked)).filter((o) => !('traceId' in o) || o.traceId !== marked.traceId))
    expect(alone.verdict).toBe('fail')
  })

  test('a packet that is let alone is let alone in both', () => {
    expect(judge(more(legacy(untouched))).verdict).toBe('pass')
    const rule = '-A PREROUTING -j DROP'
    expect(judge(more(legacy(untouched, { type: 'rule', verdict: 'drop', rule }))).verdict).toBe('fail')
    expect(judge(more(legacy(untouched, { mark: 1 }))).verdict).toBe('fail')
  })
})
