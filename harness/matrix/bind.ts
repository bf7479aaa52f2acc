import type { BoundCase, Place } from '../modes/place.ts'
import type { Case } from './cell.ts'

/** A workload that can take part, as the running cluster has it. */
export interface Participant extends Place {
  readonly app: 'sleep' | 'httpbin'
  readonly enrolled: boolean
  /** Outside the mesh, but called over HBONE, because its label says that it speaks that itself. */
  readonly impostor: boolean
  /** Service account's principal without `spiffe://`, as policies name it. */
  readonly principal: string
  /** Pod name, namespace, uid. */
  readonly name: string
  readonly namespace: string
  readonly uid: string
  /** A service with an address that selects this pod only: its address, and its name. */
  readonly clusterIP?: string
  readonly serviceName?: string
  /** The name of a headless service that selects this pod only. */
  readonly headlessName?: string
  /** The pod asks the cluster's name server by itself: it opted out of capture. */
  readonly dnsUncaptured: boolean
}

/** Ports of the server app and of the services before it, by what is spoken there. */
export type AppPorts = Readonly<Record<Spoken, { readonly pod: number; readonly service: number }>>

export type Spoken = 'http' | 'http2' | 'tcp' | 'udp' | 'client-half-close' | 'server-half-close' | 'server-first'

/** What the server must speak for a case: an exchange in which it does not simply echo has a port of its own. */
export function spokenIn({ protocol, exchange }: Pick<Case, 'protocol' | 'exchange'>): Spoken {
  // Questions are no server app's business: it only names what is asked for.
  if (protocol === 'dns') return 'http'
  return protocol !== 'tcp' || exchange === 'echo' || exchange === 'bulk' ? protocol : exchange
}

export interface Unbound {
  readonly case: Case
  readonly reason: string
}

/**
 * Gives each case its client and server, in order. Cases that need a tunnel of their own get a pair that no case before them used; those that reuse one get a pair whose
 * tunnel a case before them opened, if there is one; those with a policy of their own get a server that has no other. A case for which the topology has nobody is returned with the reason.
 * @param resolver address of the cluster's name server
 */
export function bindCases(
  cases: readonly Case[],
  participants: readonly Participant[],
  ports: AppPorts,
  resolver: string,
): { bound: BoundCase[]; unbound: Unbound[] } {
  const used = new Map<string, Case['policy']>()
  const guarded = new Set<string>()
  const bound: BoundCase[] = []
  const unbound: Unbound[] = []
  for (const c of cases) {
    const pairs = pairsFor(c, participants).filter(([, server]) => !hasPolicy(c) || !guarded.has(server.netns))
    const usedWith = ([client, server]: [Participant, Participant]) => used.get(`${client.netns} ${server.netns}`)
    const unused = () => pairs.find((p) => usedWith(p) === undefined)
    // A tunnel that is reused may be anybody's who made its request before: pairs without one are few.
    const open = c.connection === 'pooled' && (pairs.find((p) => usedWith(p) === 'none') ?? unused())
    const pair = needsNewTunnel(c) ? unused() : open || pairs[0]
    if (!pair) {
      unbound.push({
        case: c,
        reason: `the topology has no ${needsNewTunnel(c) ? 'unused ' : ''}pair for ${c.traffic} on ${c.placement.replace('-', ' ')}s with a ${c.address}`,
      })
      continue
    }
    const [client, server] = pair
    used.set(`${client.netns} ${server.netns}`, c.policy)
    if (hasPolicy(c)) guarded.add(server.netns)
    const port = ports[spokenIn(c)]
    const endpoint = `${server.ip}:${c.port ?? port.pod}`
    const destination = c.address === 'pod-ip' || c.address === 'headless' ? endpoint : `${server.clusterIP}:${port.service}`
    const call = { case: c, client, server, endpoint, destination, resolver }
    if (c.traffic === 'forged') bound.push(forged(call, client, participants))
    else bound.push(c.question ? asking(call, server, c.question) : { ...call, ...nameOf(c, server) })
  }
  return { bound, unbound }
}

/** Whether its server is given a policy for it. */
const hasPolicy = (c: Case) => c.policy === 'allow' || c.policy === 'deny' || c.policy === 'revoked'

/** Whether a case needs a tunnel that is new. */
const needsNewTunnel = (c: Case) => c.traffic === 'mesh-to-mesh' && c.connection === 'new' && c.protocol !== 'udp'

/** What is dialled instead of an address. */
function nameOf({ address }: Case, server: Participant): Pick<BoundCase, 'name'> {
  const name = address === 'service-name' ? server.serviceName : address === 'headless' ? server.headlessName : undefined
  return name === undefined ? {} : { name }
}

/** To the name server itself: a service's name, or that of a pod's address, which is no service's. */
function asking(call: BoundCase, server: Participant, { name }: NonNullable<Case['question']>): BoundCase {
  const to = `${call.resolver}:53`
  const ofPod = `${server.ip.replaceAll('.', '-')}.${server.namespace}.pod.cluster.local`
  const asked =
    name === 'of the mesh'
      ? { name: server.serviceName ?? '', addresses: [server.clusterIP ?? ''] }
      : { name: ofPod, addresses: [server.ip] }
  return { ...call, endpoint: to, destination: to, ...asked }
}

/** Who the client says it is, and whom it asks for: right but for the one thing that is forged. */
function forged(call: BoundCase, client: Participant, all: readonly Participant[]): BoundCase {
  const own = `spiffe://${client.principal}`
  // Somebody's identity that is worth having.
  const meshed = all.find((p) => p.app === 'sleep' && p.enrolled)?.identity ?? own
  switch (call.case.forgery) {
    case 'foreign-ca':
      return { ...call, client: { ...client, identity: meshed } }
    case 'foreign-trust-domain':
      return { ...call, client: { ...client, identity: meshed.replace(/^spiffe:\/\/[^/]+/, 'spiffe://elsewhere.example') } }
    case 'other-authority': {
      const other = all.find((p) => p.app === 'httpbin' && p.enrolled && p.ip !== call.server.ip)
      const [, port] = call.endpoint.split(':')
      return { ...call, client: { ...client, identity: own }, destination: `${other?.ip ?? client.ip}:${port}` }
    }
    default:
      return { ...call, client: { ...client, identity: own } }
  }
}

function pairsFor(c: Case, all: readonly Participant[]): [Participant, Participant][] {
  const clientMeshed = c.traffic.startsWith('mesh-') || c.caller === 'mesh'
  const impostor = c.traffic === 'mesh-to-impostor'
  const serverMeshed = c.traffic !== 'mesh-to-plain' && !impostor
  const servers = all.filter(
    (p) =>
      p.app === 'httpbin' &&
      p.enrolled === serverMeshed &&
      p.impostor === impostor &&
      (c.address === 'pod-ip' || (c.address === 'headless' ? p.headlessName : p.clusterIP) !== undefined),
  )
  if (c.traffic === 'probe') return servers.map((s) => [nodeOf(s), s])
  if (c.traffic === 'self' || c.caller === 'itself') return servers.map((s) => [s, s])
  const uncaptured = c.question?.captured === false
  const meshed = all.filter((p) => p.app === 'sleep' && p.enrolled === clientMeshed)
  // Where nobody's questions are captured, what asks none is as it is elsewhere.
  const anyway = asksNothing(c) && meshed.every((p) => p.dnsUncaptured)
  const clients = meshed.filter((p) => anyway || p.dnsUncaptured === uncaptured)
  return clients.flatMap((client) =>
    servers.filter((s) => (s.node === client.node) === (c.placement === 'same-node')).map((s): [Participant, Participant] => [client, s]),
  )
}

/** Whether its client looks up no name. */
const asksNothing = (c: Case) => c.question === undefined && c.address !== 'service-name' && c.address !== 'headless'

/** The node that a pod runs on, as a client. */
const nodeOf = (p: Participant): Participant => ({ ...p, netns: 'node', ip: p.gateway, identity: '', principal: '', enrolled: false })
