import type { Observation, TraceObservation } from '../evidence/observation.ts'
import type { Outcome, Proof, TraceProof } from '../modes/path.ts'
import type { Attempt } from '../traffic/attempt.ts'
import { fill, fillFlow, type Variables } from './bind.ts'
import type { Expectation } from './expectation.ts'
import { closingOf, FLAGS, orderOf, packetOf, restOf, SEQUENCE } from './ideal-packets.ts'
import { protocolOf } from './proof.ts'

/**
 * The world as a path promises it: attempts and observations in which each proof of the expectation is there once and nothing else is.
 * What the judge's own tests start from, before they take away or alter.
 */
export function idealRun(expectation: Expectation): { attempts: Attempt[]; observations: Observation[] } {
  const ports = {
    client: 40_001,
    hbone: 40_002,
    served: 40_003,
    turned: 40_004,
    probe: 40_005,
    question: 40_006,
    forward: 40_007,
    tunnelout: 40_009,
    tunnelin: 40_010,
  }
  const variables: Record<string, Variables[string]> = Object.fromEntries(
    Object.entries(ports).map(([name, port]) => [
      name,
      { port: `${expectation.path.bindings[name]?.from === 'client' ? ports.client : port}` },
    ]),
  )
  const ends = { asker: '192.0.2.1:40008', asked: '192.0.2.2:53' }
  for (const [name, port] of Object.entries(ends)) if (name in expectation.path.bindings) variables[name] = { port }
  const reused = expectation.path.legs.some((l) => l.reused)
  const refused = expectation.path.outcome !== 'served' && expectation.path.outcome !== 'resolved'
  const attempts = [
    attempt(expectation, 'positive', 1000, !refused || true, ports.client - 10),
    ...(reused ? [attempt(expectation, 'opening', 2000, true, ports.client - 20)] : []),
    attempt(expectation, 'main', 3000, !refused, ports.client),
    attempt(expectation, 'negative', 4000, refused, ports.client + 10),
  ]
  const main = attempts.find((a) => a.role === 'main')!
  const observations: Observation[] = []
  const state = new Set<string>()
  const add = (o: Record<string, unknown>) => {
    // A namespace has each rule and route once, however many proofs ask for it.
    const line = 'snapshot' in o ? JSON.stringify(o) : undefined
    if (line !== undefined && state.has(line)) return
    if (line !== undefined) state.add(line)
    observations.push({ ...o, ref: `ideal#${observations.length}` } as unknown as Observation)
  }
  const seen = new Set<string>()

  for (const binding of Object.values(expectation.path.bindings)) {
    if (binding.from !== 'translation' || binding.side !== 'asked') continue
    const { node, netns } = binding
    const translated = { orig: fillFlow(binding.orig, variables), reply: { from: ends.asked, to: ends.asker } }
    add({
      kind: 'conntrack',
      node,
      netns,
      t: 3001,
      event: 'new',
      protocol: expectation.case.question?.transport ?? 'udp',
      ...translated,
      mark: 0,
      zone: 0,
      status: 0,
    })
  }
  for (const leg of expectation.path.legs) {
    const opening = (leg.reused ? 2000 : 3000) + 1
    const proofs = leg.hops.flatMap((h) => h.proofs)
    for (const proof of proofs) {
      const key = JSON.stringify(proof)
      if (seen.has(key)) continue
      seen.add(key)
      for (const o of observationsOf(proof, proofs, variables, main.token, opening, 3001)) add({ ...o })
    }
  }
  for (const a of attempts) {
    if (a.role === 'main' || !(a.result.ok && a.result.echoed)) continue
    add({
      kind: 'served',
      t: a.window.from + 1,
      node: a.server.node,
      netns: a.server.netns,
      protocol: 'http',
      peer: '10.0.0.1:1',
      local: '10.0.0.2:1',
      body: a.token,
    })
  }
  const places = new Set(expectation.path.legs.flatMap((l) => l.hops.flatMap((h) => h.proofs)).map((p) => `${p.node} ${p.netns}`))
  for (const place of places) {
    const [node, netns] = place.split(' ')
    for (const stream of ['packets', 'traces']) {
      for (const id of [main.markers.before, main.markers.after]) add({ kind: 'marker', t: 2999, node, netns, stream, id })
    }
    for (const stream of ['packets', 'traces', 'conntrack', 'sockets'])
      add({ kind: 'loss', t: main.window.to + 100, node, netns, stream, lost: 0 })
  }
  return { attempts, observations }
}

function attempt(e: Expectation, role: Attempt['role'], at: number, served: boolean, localPort: number): Attempt {
  const [host = '', port = '0'] = e.destination.split(':')
  return {
    case: e.case.id,
    role,
    token: `${at}`.padEnd(32, 'f'),
    window: { from: at, to: at + 900 },
    markers: { before: `m${at}`, after: `m${at + 900}` },
    client: { node: e.client.node, netns: e.client.netns },
    server: { node: e.server.node, netns: e.server.netns },
    request: { protocol: e.case.protocol, host, port: Number(port) },
    result: {
      ok: served,
      echoed: served,
      ...(e.case.exchange === 'bulk' && served ? { sent: BULK, received: BULK } : {}),
      localPort,
      ...(served && e.name !== undefined
        ? { answer: { from: e.endpoint, localPort: 40_006, code: 'NOERROR', addresses: [...(e.addresses ?? [])] } }
        : {}),
      ...(served ? {} : { error: errorOf(e.path.outcome) }),
      startedAt: at / 1000,
      endedAt: at / 1000 + 0.5,
    },
  }
}

/** What a client says of a request that ends so. */
function errorOf(outcome: Outcome): NonNullable<Attempt['result']['error']> {
  const [, status] = outcome.split(' ')
  return status ? { code: `HBONE_${status}`, message: '', phase: 'tunnel' } : { code: 'ECONNRESET', message: '', phase: 'request' }
}

/** What every server of the ideal world got. */
const BULK = { bytes: 8 << 20, sha256: 'a'.repeat(64) }

const TERMINAL = /-j (REDIRECT|ACCEPT|SNAT|TPROXY)/

function observationsOf(proof: Proof, leg: readonly Proof[], variables: Variables, token: string, opening: number, main: number): object[] {
  const at = { node: proof.node, netns: proof.netns }
  switch (proof.kind) {
    case 'packet':
      return [packetOf(proof, leg, variables, token, proof.which === 'syn' || proof.which === 'syn-ack' ? opening : main)]
    case 'trace': {
      // All rules that one packet meets from one base chain are one walk.
      const walk = leg.filter((p): p is TraceProof => p.kind === 'trace' && isSameWalk(p, proof))
      return walk[0] === proof ? tracesOf(walk, variables, opening) : []
    }
    case 'conntrack':
      return [
        {
          kind: 'conntrack',
          ...at,
          t: opening,
          event: 'update',
          protocol: proof.protocol,
          orig: fillFlow(proof.orig, variables),
          reply: fillFlow(proof.reply, variables),
          mark: proof.mark,
          zone: proof.zone,
          status: 0,
        },
      ]
    case 'socket':
      return [
        {
          kind: 'socket',
          ...at,
          t: main + 50,
          local: fill(proof.local, variables),
          peer: fill(proof.peer, variables),
          mark: proof.mark,
          uid: 0,
        },
      ]
    case 'log': {
      const fields = Object.fromEntries(Object.entries(proof.fields).map(([k, v]) => [k, fill(v, variables).replaceAll('*', 'x')]))
      return [{ kind: 'ztunnel-log', ...at, t: main + 60, level: 'info', target: proof.target, message: proof.message, fields }]
    }
    case 'served':
      return [
        {
          kind: 'served',
          ...at,
          t: main + 20,
          protocol: proof.protocol,
          peer: fill(proof.peer, variables),
          local: proof.local,
          body: `${token} and more`,
          ...BULK,
        },
      ]
    case 'token':
      return proof.ends === undefined ? [] : restOf(proof, leg, variables, token, main)
    case 'bytes':
      return closingOf(proof, leg, variables, token, main)
    case 'silence':
      return []
    case 'untouched':
      return ['before', 'after'].flatMap((snapshot) => [
        ...proof.policyRules.map((line) => ({ kind: 'policy-rule', ...at, snapshot, family: 'ip', line })),
        ...proof.devices.map((dev, i) => ({ kind: 'link', ...at, snapshot, family: 'ip', line: `${i + 1}: ${dev} - mtu 1500` })),
        { kind: 'route', ...at, snapshot, family: 'ip', line: 'default via 10.244.0.1 dev eth0' },
        { kind: 'settings', ...at, snapshot, family: 'ip', line: 'net.ipv4.ip_forward = 1' },
      ])
    case 'order':
      return orderOf(proof, leg, variables, token, main)
    case 'route':
      return [
        { kind: 'policy-rule', ...at, snapshot: 'before', family: 'ip', line: proof.rule },
        { kind: 'route', ...at, snapshot: 'before', family: 'ip', line: `${proof.route} scope host` },
      ]
  }
}

const isSameWalk = (a: TraceProof, b: TraceProof) =>
  (['node', 'netns', 'which', 'from', 'to', 'table', 'base'] as const).every((key) => a[key] === b[key])

function tracesOf(walk: readonly TraceProof[], variables: Variables, t: number): Omit<TraceObservation, 'ref'>[] {
  const first = walk[0]!
  const { from, to } = fillFlow(first, variables)
  const { node, netns, table, base, which, mark } = first
  const line = {
    kind: 'trace',
    node,
    netns,
    t,
    traceId: `${which}${base}${table}${from}`,
    family: 'ip',
    table,
    protocol: protocolOf(which),
    from,
    to,
    flags: FLAGS[which],
    seq: SEQUENCE[which],
  } as const
  const hits = walk.flatMap(({ meets, chain, mark }) => {
    if (!('rule' in meets)) return []
    const ends = TERMINAL.test(meets.rule)
    return [{ ...line, chain, type: 'rule', rule: meets.rule, verdict: ends ? 'accept' : 'continue', mark } as const]
  })
  const jumps = hits
    .slice(0, 1)
    .filter((hit) => hit.chain !== base)
    .map(({ chain }) => {
      return { ...line, chain: base, type: 'rule', rule: `-A ${base} -j ${chain}`, verdict: `jump ${chain}`, mark } as const
    })
  const policy = { ...line, chain: base, type: 'policy', verdict: 'accept', mark: walk.at(-1)!.mark } as const
  return [...jumps, ...hits, ...(hits.at(-1)?.verdict === 'accept' ? [] : [policy])]
}
