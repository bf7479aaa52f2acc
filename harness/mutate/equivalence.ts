import { type Bundle, observations } from '../evidence/bundle.ts'
import type { Observation } from '../evidence/observation.ts'
import type { TopologyRecord } from '../evidence/topology-record.ts'
import type { Attempt } from '../traffic/attempt.ts'

/** What a run left, as far as faults are told apart by it. */
export interface Ran {
  readonly topology: TopologyRecord
  readonly attempts: readonly Attempt[]
  readonly observations: readonly Observation[]
}

export const ranOf = (bundle: Bundle<unknown, unknown, unknown>): Ran => ({
  topology: bundle.topology as TopologyRecord,
  attempts: bundle.traffic.map((line) => line.value as Attempt),
  observations: observations(bundle),
})

/**
 * What one run of some cases shows in packets, marks, rule hits, routes and sockets that the other does not; nothing: the two cannot be told apart.
 * Taken out before: times, ids, counters and how often a thing was seen; the ports that the kernel chose; and which addresses pods and services had.
 * Both runs must be of the same cases, so that they have the same clients and servers. Pure.
 */
export function differences(one: Ran, other: Ran): string[] {
  const [a, b] = [factsOf(one), factsOf(other)]
  return [...[...a].filter((f) => !b.has(f)).map((f) => `- ${f}`), ...[...b].filter((f) => !a.has(f)).map((f) => `+ ${f}`)].sort()
}

/** From here on the kernel chooses ports by itself (net.ipv4.ip_local_port_range). */
const FIRST_EPHEMERAL = 32_768

function factsOf(ran: Ran): Set<string> {
  const names = new Map([
    ...ran.topology.nodes.map((n) => [n.address, n.name] as const),
    ...ran.topology.pods.map((p) => [p.ip, `${p.namespace}/${p.name}`] as const),
    ...ran.topology.services.map((s) => [s.clusterIP, `service ${s.namespace}/${s.name}`] as const),
  ])
  const end = (text: string) => {
    const colon = text.lastIndexOf(':')
    const [address, port] = [text.slice(0, colon), Number(text.slice(colon + 1))]
    return `${names.get(address) ?? address}:${port >= FIRST_EPHEMERAL ? '*' : port}`
  }
  const uids = new Map(ran.topology.pods.map((p) => [p.uid, `${p.namespace}/${p.name}`]))
  const line = (text: string) =>
    text
      .replaceAll(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, (uid) => uids.get(uid) ?? uid)
      .replaceAll(/\d+(\.\d+){3}/g, (ip) => names.get(ip) ?? ip)
  const facts = new Set<string>()
  for (const o of ran.observations) {
    const state = stateFact(o, line, end)
    if (state) facts.add(`${o.node}/${o.netns}: ${state}`)
    if (!('t' in o)) continue
    for (const attempt of ran.attempts) {
      if (o.t < attempt.window.from || o.t > attempt.window.to || !concerns(o, attempt, ran.topology)) continue
      const fact = flowFact(o, end)
      if (fact) facts.add(`${attempt.case} ${attempt.role}, ${o.node}/${o.netns}: ${fact}`)
    }
  }
  return facts
}

/** Routes, sets and listening sockets, as the run began. */
function stateFact(o: Observation, line: (text: string) => string, end: (text: string) => string): string | undefined {
  if (!('snapshot' in o) || o.snapshot !== 'before') return undefined
  if (o.kind === 'listener') return `listens on ${o.protocol} ${end(o.local)}, mark ${o.mark}`
  return o.kind === 'policy-rule' || o.kind === 'route' || o.kind === 'set-member'
    ? `${o.kind} ${o.family} ${o.set ?? ''} ${line(o.line)}`
    : undefined
}

function flowFact(o: Observation, end: (text: string) => string): string | undefined {
  const flow = ({ from, to }: { from: string; to: string }) => `${end(from)} → ${end(to)}`
  switch (o.kind) {
    case 'packet': {
      const kind = packetKind(o.flags, o.payloadLength)
      return kind && `${o.dev} ${o.direction} ${o.protocol} ${flow(o)} ${kind}`
    }
    case 'trace':
      return `${o.table} ${o.chain} ${o.type} ${o.rule ?? ''} ${o.verdict}, mark ${o.mark}, ${o.protocol} ${flow(o)} ${packetKind(o.flags, 0) ?? 'later'}`
    case 'conntrack':
      return o.event === 'destroy' ? undefined : `${o.protocol} ${flow(o.orig)}, answered ${flow(o.reply)}, mark ${o.mark}, zone ${o.zone}`
    case 'socket':
      return `socket ${end(o.local)} ↔ ${end(o.peer)}, mark ${o.mark}`
    default:
      return undefined
  }
}

/** Bare acknowledgements come as the kernel likes; how a connection ends does not. */
function packetKind(flags: string, payload: number): string | undefined {
  if (flags.includes('R')) return 'reset'
  if (flags.includes('S')) return flags.includes('A') ? 'syn-ack' : 'syn'
  if (payload > 0) return 'data'
  return flags.includes('F') ? 'end' : undefined
}

/** Of the attempt's own client and server; what the kubelets ask the same pods meanwhile is not, but for a node that is the client. */
function concerns(o: Observation, attempt: Attempt, { pods }: TopologyRecord): boolean {
  const flows = flowsOf(o)
  const addresses = [attempt.client, attempt.server].flatMap(
    ({ netns }) => pods.find((p) => `${p.namespace}.${p.name}` === netns)?.ip ?? [],
  )
  const hosts = [...addresses, attempt.request.host]
  const own = (text: string) => hosts.includes(addressOf(text)) || addressOf(text).startsWith('127.')
  const asNode = attempt.client.netns === 'node'
  return flows.some(({ from, to }) => (asNode ? own(from) || own(to) : own(from) && own(to)))
}

const addressOf = (end: string) => end.slice(0, end.lastIndexOf(':'))

function flowsOf(o: Observation): { from: string; to: string }[] {
  if (o.kind === 'packet' || o.kind === 'trace') return [o]
  if (o.kind === 'conntrack') return [o.orig, o.reply]
  return o.kind === 'socket' ? [{ from: o.local, to: o.peer }] : []
}
