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
  const names = namesOf(ran)
  const facts = new Set<string>()
  const probes = new Map(ran.attempts.map((attempt) => [attempt, probePorts(attempt, ran)]))
  for (const o of ran.observations) {
    const state = stateFact(o, names)
    if (state) facts.add(`${names.place(o)}: ${state}`)
    if (!('t' in o)) continue
    for (const attempt of ran.attempts) {
      if (o.t < attempt.window.from || o.t > attempt.window.to || !concerns(o, attempt, ran.topology, probes.get(attempt)!)) continue
      const fact = flowFact(o, names, attempt.result.ok)
      if (fact) facts.add(`${attempt.case} ${attempt.role}, ${names.place(o)}: ${fact}`)
    }
  }
  return facts
}

/** What stays the same of the things that a run or a cluster chose for itself. */
interface Names {
  readonly place: (o: Observation) => string
  /** One end of a flow. */
  readonly end: (text: string) => string
  /** A device; undefined: it belongs to a pod that is not in the topology, such as a proxy, which is replaced between runs. */
  readonly device: (o: Observation, dev: string) => string | undefined
  /** Addresses and uids in a line. */
  readonly line: (text: string) => string
}

function namesOf({ topology, observations }: Ran): Names {
  const { nodes, pods, services, proxies } = topology
  const podName = (p: { namespace: string; name: string }) => `${p.namespace}/${p.name}`
  const addresses = new Map([
    ...nodes.map((n) => [n.address, n.name] as const),
    ...pods.map((p) => [p.ip, podName(p)] as const),
    ...services.map((s) => [s.clusterIP, `service ${podName(s)}`] as const),
  ])
  const uids = new Map(pods.map((p) => [p.uid, podName(p)]))
  const places = new Map(proxies.map((p) => [`${p.namespace}.${p.name}`, `proxy of ${p.node}`]))
  // A node's route to a pod says which device is the pod's.
  const devices = new Map(
    observations.flatMap((o) => {
      const [, ip = '', dev = ''] = (o.kind === 'route' && o.netns === 'node' && /^(\d+(?:\.\d+){3}) dev (\S+)/.exec(o.line)) || []
      const pod = pods.find((p) => p.ip === ip && p.node === o.node)
      return pod ? [[`${o.node} ${dev}`, `device of ${podName(pod)}`] as const] : []
    }),
  )
  return {
    place: ({ node, netns }) => `${node}/${places.get(netns) ?? netns}`,
    end(text) {
      const address = addressOf(text)
      const port = text.slice(address.length)
      return `${addresses.get(address) ?? address}${Number(port.slice(1)) >= FIRST_EPHEMERAL ? ':*' : port}`
    },
    device: ({ node, netns }, dev) => devices.get(`${node} ${dev}`) ?? (netns === 'node' && dev.startsWith('veth') ? undefined : dev),
    line: (text) =>
      text
        .replaceAll(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, (uid) => uids.get(uid) ?? uid)
        .replaceAll(/fe80::[0-9a-f:]+/g, 'fe80::*')
        .replaceAll(/\d+(\.\d+){3}/g, (ip) => addresses.get(ip) ?? ip),
  }
}

/** Routes, sets and listening sockets, as the run began; not of the proxies' own pods, which no request passes. */
function stateFact(o: Observation, names: Names): string | undefined {
  if (!('snapshot' in o) || o.snapshot !== 'before' || names.place(o).includes('/proxy of ')) return undefined
  if (o.kind === 'listener') return `listens on ${o.protocol} ${names.end(o.local)}, mark ${o.mark}`
  if (o.kind !== 'policy-rule' && o.kind !== 'route' && o.kind !== 'set-member') return undefined
  const [, dev = ''] = / dev (\S+)/.exec(o.line) ?? []
  const device = names.device(o, dev)
  return device === undefined ? undefined : `${o.kind} ${o.family} ${o.set ?? ''} ${names.line(o.line).replace(dev, device)}`
}

function flowFact(o: Observation, { end, device }: Names, answered: boolean): string | undefined {
  const flow = ({ from, to }: { from: string; to: string }) => `${end(from)} → ${end(to)}`
  switch (o.kind) {
    case 'packet': {
      const kind = packetKind(o.flags, o.payloadLength, answered)
      return kind && `${device(o, o.dev) ?? o.dev} ${o.direction} ${o.protocol} ${flow(o)} ${kind}`
    }
    case 'trace':
      return `${o.table} ${o.chain} ${o.type} ${o.rule ?? ''} ${o.verdict}, mark ${o.mark}, ${o.protocol} ${flow(o)} ${packetKind(o.flags, 0, answered) ?? 'later'}`
    case 'conntrack':
      return o.event === 'destroy' ? undefined : `${o.protocol} ${flow(o.orig)}, answered ${flow(o.reply)}, mark ${o.mark}, zone ${o.zone}`
    case 'socket':
      return `socket ${end(o.local)} ↔ ${end(o.peer)}, mark ${o.mark}`
    default:
      return undefined
  }
}

/**
 * Bare acknowledgements come as the kernel likes; how a connection ends does not, but where the request was refused: there the close overtakes the
 * client's bytes, or not, and is a reset or an end by that.
 */
function packetKind(flags: string, payload: number, answered: boolean): string | undefined {
  if (flags.includes('R')) return answered ? 'reset' : undefined
  if (flags.includes('S')) return flags.includes('A') ? 'syn-ack' : 'syn'
  if (payload > 0) return 'data'
  return flags.includes('F') && answered ? 'end' : undefined
}

/** Where a node is the client: the ports of the other connections that it had to the server meanwhile, its kubelet's probes. They are known where they leave, and keep their ports on the way. */
function probePorts({ client, request, window, result }: Attempt, { observations }: Ran): ReadonlySet<string> {
  const ports = new Set<string>()
  if (client.netns !== 'node' || result.localPort === undefined) return ports
  for (const o of observations) {
    if (!('t' in o) || o.t < window.from || o.t > window.to || o.netns !== 'node' || o.node !== client.node) continue
    for (const { from, to } of flowsOf(o)) {
      if (addressOf(to) === request.host) ports.add(portOf(from))
      if (addressOf(from) === request.host) ports.add(portOf(to))
    }
  }
  ports.delete(String(result.localPort))
  return ports
}

/** Of the attempt's own client and server; what the kubelets ask the same pods meanwhile is not. @param probes ports of what a node asked that is the client */
function concerns(o: Observation, attempt: Attempt, { pods }: TopologyRecord, probes: ReadonlySet<string>): boolean {
  const flows = flowsOf(o)
  if (flows.some(({ from, to }) => probes.has(portOf(from)) || probes.has(portOf(to)))) return false
  const addresses = [attempt.client, attempt.server].flatMap(
    ({ netns }) => pods.find((p) => `${p.namespace}.${p.name}` === netns)?.ip ?? [],
  )
  const hosts = [...addresses, attempt.request.host]
  const named = (text: string) => hosts.includes(addressOf(text))
  // Redirection leads to the pod's own loopback.
  const own = (text: string) => named(text) || addressOf(text).startsWith('127.')
  const asNode = attempt.client.netns === 'node'
  return flows.some(({ from, to }) => (named(from) || named(to)) && (asNode || (own(from) && own(to))))
}

/** Without the port, if it has one. */
const addressOf = (end: string) => end.replace(/:\d+$/, '')

const portOf = (end: string) => end.slice(addressOf(end).length + 1)

function flowsOf(o: Observation): { from: string; to: string }[] {
  if (o.kind === 'packet' || o.kind === 'trace') return [o]
  if (o.kind === 'conntrack') return [o.orig, o.reply]
  return o.kind === 'socket' ? [{ from: o.local, to: o.peer }] : []
}
