import { describe, expect, test } from 'vitest'
import type { Observation, PacketObservation } from '../evidence/observation.ts'
import { shortId } from '../matrix/cases.ts'
import type { Attempt } from '../traffic/attempt.ts'
import { Evidence } from './evidence.ts'
import { idealRun } from './ideal.ts'
import { judgeCase } from './judge.ts'
import { promised } from './testing.ts'

const { expectations } = promised('inpod')
const across = 'mesh-to-mesh/other-node/pod-ip'

/** A case over evidence as it should be, changed. */
function world(id: string) {
  const expectation = expectations.find((e) => shortId(e.case) === id)!
  const { attempts, observations } = idealRun(expectation)
  const main = attempts.find((a) => a.role === 'main')!
  const judge = (change: (o: Observation) => Observation | undefined, result: Partial<Attempt['result']> = {}, more: object[] = []) => {
    const seen = [...observations.flatMap((o) => change(o) ?? []), ...(more as Observation[])]
    const made = attempts.map((a) => (a === main ? { ...a, result: { ...a.result, ...result } } : a))
    return judgeCase(expectation, made, new Evidence(seen))
  }
  return { expectation, observations, main, judge }
}
const asIs = (o: Observation) => o
const packets =
  (fits: (p: PacketObservation) => boolean, change: (p: PacketObservation) => PacketObservation | undefined) => (o: Observation) =>
    o.kind === 'packet' && fits(o) ? change(o) : o

describe('bytes that were not kept prove nothing', () => {
  test('of a short stream: one that was cut makes the case inconclusive', () => {
    const { judge } = world(`${across}/http`)
    const sealedData = (p: PacketObservation) => p.netns === 'node' && p.payload.length > 0 && p.to.endsWith(':15008')
    expect(judge(asIs).verdict).toBe('pass')
    const verdict = judge(packets(sealedData, (p) => ({ ...p, payload: p.payload.subarray(0, 3) })))
    expect(verdict).toMatchObject({ verdict: 'inconclusive', reason: expect.stringContaining('not readable in the whole stream') })
  })

  test.for([
    ['first', (p: PacketObservation) => p.seq === 1001],
    ['last', (p: PacketObservation) => p.seq > 8_000_000 && p.payload.length > 0],
  ] as const)('of 8 MiB: the middle may be cut, the %s 8 KiB not', ([, end]) => {
    const { judge, observations } = world(`${across}/tcp/bulk`)
    expect(judge(asIs).reason).toBeUndefined()
    expect(observations.some((o) => o.kind === 'packet' && o.payload.length < o.payloadLength)).toBe(true)
    const verdict = judge(
      packets(
        (p) => p.netns === 'node' && p.to.endsWith(':15008') && end(p),
        (p) => ({ ...p, payload: p.payload.subarray(0, -1) }),
      ),
    )
    expect(verdict).toMatchObject({ verdict: 'inconclusive', reason: expect.stringContaining('8192 bytes each way are whole') })
  })

  test('the token in what was kept of the middle of a tunnel fails the case', () => {
    const { judge, main } = world(`${across}/tcp/bulk`)
    const middle = (p: PacketObservation) => p.to.endsWith(':15008') && p.payload.length === 0 && p.payloadLength > 1e6
    expect(judge(packets(middle, (p) => ({ ...p, payload: Buffer.from(main.token) }))).verdict).toBe('fail')
  })
})

describe('8 MiB', () => {
  const { judge, main } = world(`${across}/tcp/bulk`)
  const whole = main.result.sent!
  const atApp = (p: PacketObservation) => p.dev === 'lo' && p.to.endsWith(':9000')

  test('arrive byte for byte by digest, there and back', () => {
    expect(judge(asIs).verdict).toBe('pass')
    expect(judge((o) => (o.kind === 'served' ? { ...o, sha256: undefined } : o))).toMatchObject({ verdict: 'inconclusive' })
    const other = { ...whole, sha256: 'b'.repeat(64) }
    for (const result of [
      { sent: other, received: other },
      { sent: whole, received: other },
    ])
      expect(judge(asIs, result)).toMatchObject({ verdict: 'fail', brokenHop: 'case/bytes' })
  })

  test('one packet that was not seen makes them inconclusive, wherever it was', () => {
    const gone = judge(
      packets(
        (p) => atApp(p) && p.payloadLength > 1e6,
        () => undefined,
      ),
    )
    expect(gone).toMatchObject({ verdict: 'inconclusive', reason: expect.stringContaining('exactly 8388608 bytes each way') })
  })

  test('an end that comes early, or a reset, fails them', () => {
    const ends = (p: PacketObservation) => atApp(p) && p.flags === 'FA'
    const early = judge(
      packets(
        (p) => atApp(p) && p.payload.length > 0 && p.seq > 8_000_000,
        (p) => ({ ...p, payloadLength: 8000, payload: p.payload.subarray(192) }),
      ),
    )
    expect(early.verdict).not.toBe('pass')
    expect(judge(packets(ends, (p) => ({ ...p, flags: 'RA' })))).toMatchObject({
      verdict: 'fail',
      brokenHop: 'ztunnel-app/carries-every-byte',
    })
  })
})

describe('the order of speaking and ending', () => {
  const atClient = (p: PacketObservation) => p.dev === 'lo' && p.netns.startsWith('demo.sleep')
  const speaksForTheServer = (p: PacketObservation) => p.payloadLength > 0 && !p.to.endsWith(':15001')

  test('a server that should speak first and does not fails it', () => {
    const { judge } = world(`${across}/tcp/server-first`)
    const verdict = judge(
      packets(
        (p) => atClient(p) && speaksForTheServer(p),
        (p) => ({ ...p, t: p.t + 10 }),
      ),
    )
    expect(verdict).toMatchObject({ verdict: 'fail', brokenHop: 'app-ztunnel/keeps-the-order-of-the-exchange' })
    expect(verdict.reason).toContain('the client speaks')
  })

  test('a server that speaks before the end it should wait for fails it', () => {
    const { judge } = world(`${across}/tcp/client-half-close`)
    const verdict = judge(
      packets(
        (p) => atClient(p) && speaksForTheServer(p),
        (p) => ({ ...p, t: p.t - 2 }),
      ),
    )
    expect(verdict).toMatchObject({ verdict: 'fail', brokenHop: 'app-ztunnel/keeps-the-order-of-the-exchange' })
  })

  test('a client that is ended without having spoken fails it; words that were only not seen leave it open', () => {
    const { judge } = world(`${across}/tcp/server-half-close`)
    const toApp = (p: PacketObservation) => p.dev === 'lo' && p.to.endsWith(':9003')
    const late = (p: PacketObservation) => toApp(p) && p.payload.length === 4
    expect(judge(packets(late, () => undefined))).toMatchObject({ verdict: 'inconclusive' })
    const silent = judge((o) => {
      if (o.kind !== 'packet' || !toApp(o)) return o
      if (late(o)) return undefined
      return o.flags === 'FA' ? { ...o, seq: o.seq - 4 } : o
    })
    expect(silent).toMatchObject({ verdict: 'fail', brokenHop: 'ztunnel-app/keeps-the-order-of-the-exchange' })
    expect(silent.reason).toContain('without having spoken since')
  })

  test('a reset fails it', () => {
    const { judge } = world(`${across}/tcp/client-half-close`)
    expect(
      judge(
        packets(
          (p) => atClient(p) && p.flags === 'FA',
          (p) => ({ ...p, flags: 'RA' }),
        ),
      ).verdict,
    ).toBe('fail')
  })
})

describe('what passes the mesh by', () => {
  test('a word of ztunnel about a datagram fails it', () => {
    const { judge, main, expectation } = world(`${across}/udp`)
    const fields = { 'src.addr': `${expectation.client.ip}:40001`, 'dst.addr': expectation.endpoint, direction: 'outbound' }
    const word = {
      kind: 'ztunnel-log',
      ref: 'extra#0',
      node: expectation.client.node,
      netns: 'istio-system.ztunnel',
      t: main.window.from + 5,
      level: 'info',
      target: 'access',
      message: 'connection complete',
      fields,
    }
    expect(judge(asIs).verdict).toBe('pass')
    expect(judge(asIs, {}, [word])).toMatchObject({ verdict: 'fail', brokenHop: 'client-server/does-without-ztunnel' })
  })

  test('a datagram at a place of somebody else fails it', () => {
    const { judge, observations } = world(`${across}/udp`)
    const seen = observations.find((o) => o.kind === 'packet' && o.protocol === 'udp')!
    const stray = { ...seen, ref: 'extra#0', netns: 'plain.server-one', payload: Buffer.alloc(0) }
    expect(judge(asIs, {}, [stray])).toMatchObject({ verdict: 'fail', brokenHop: 'case/closed-world' })
  })
})

describe('questions for names', () => {
  const other = world('mesh-to-dns/same-node/cluster-ip/dns/other-name')

  test('tracked in another zone than they should be, they fail', () => {
    const verdict = other.judge((o) => (o.kind === 'conntrack' && o.zone === 1 ? { ...o, zone: 0 } : o))
    expect(verdict).toMatchObject({ verdict: 'fail', brokenHop: 'ztunnel-dns/leaves-in-a-zone-of-its-own' })
  })

  test('answered by somebody else, or with another address, they fail', () => {
    const right = other.main.result.answer!
    for (const answer of [
      { ...right, from: '10.96.0.11:53' },
      { ...right, addresses: ['192.0.2.1'] },
    ])
      expect(other.judge(asIs, { answer })).toMatchObject({ verdict: 'fail', brokenHop: 'case/outcome' })
  })

  test('one of the mesh that leaves the pod is found by its token', () => {
    const { judge, main, expectation } = world('mesh-to-dns/same-node/cluster-ip/dns/mesh-name')
    const leak = {
      ...other.observations.find((o) => o.kind === 'packet' && o.dev === 'eth0' && o.direction === 'out')!,
      ...{ ref: 'extra#0', node: expectation.client.node, netns: expectation.client.netns, payload: Buffer.from(main.token) },
    }
    expect(judge(asIs, {}, [leak])).toMatchObject({ verdict: 'fail', brokenHop: 'case/sentinel' })
  })

  test("ztunnel's word that it passed on what it knows, or nothing of it, does not prove it", () => {
    const { judge } = world('mesh-to-dns/same-node/cluster-ip/dns/mesh-name')
    const told = (change: (fields: Readonly<Record<string, string>>) => Record<string, string> | undefined) =>
      judge((o) => {
        if (o.kind !== 'ztunnel-log' || o.target !== 'dns') return o
        const fields = change(o.fields)
        return fields && { ...o, fields }
      })
    expect(told((fields) => ({ ...fields })).verdict).toBe('pass')
    expect(told((fields) => ({ ...fields, result: 'forwarded' }))).toMatchObject({
      verdict: 'fail',
      brokenHop: 'app-dns/is-answered-by-ztunnel',
    })
    expect(told((fields) => ({ ...fields, 'src.workload': 'somebody' })).verdict).toBe('fail')
    expect(told(() => undefined).verdict).toBe('inconclusive')
  })
})
