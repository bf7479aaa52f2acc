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
  /** ClusterIP of a service that selects this pod only. */
  readonly clusterIP?: string
}

/** Ports of the server app and of the services before it, by what is spoken there. */
export type AppPorts = Readonly<Record<Spoken, { readonly pod: number; readonly service: number }>>

export type Spoken = 'http' | 'http2' | 'tcp' | 'client-half-close' | 'server-half-close' | 'server-first'

/** What the server must speak for a case: an exchange in which it does not simply echo has a port of its own. */
export const spokenIn = ({ protocol, exchange }: Pick<Case, 'protocol' | 'exchange'>): Spoken =>
  protocol !== 'tcp' || exchange === 'echo' || exchange === 'bulk' ? protocol : exchange

export interface Unbound {
  readonly case: Case
  readonly reason: string
}

/**
 * Gives each case its client and server, in order. Cases that need a tunnel of their own get a pair that no case before them used; those that reuse one get a pair whose
 * tunnel a case before them opened, if there is one; those with a policy of their own get a server that has no other. A case for which the topology has nobody is returned with the reason.
 */
export function bindCases(
  cases: readonly Case[],
  participants: readonly Participant[],
  ports: AppPorts,
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
    const destination = c.address === 'pod-ip' ? endpoint : `${server.clusterIP}:${port.service}`
    const call = { case: c, client, server, endpoint, destination }
    bound.push(c.traffic === 'forged' ? forged(call, client, participants) : call)
  }
  return { bound, unbound }
}

/** Whether its server is given a policy for it. */
const hasPolicy = (c: Case) => c.policy === 'allow' || c.policy === 'deny'

/** Whether a case needs a tunnel that is new. */
const needsNewTunnel = (c: Case) => c.traffic === 'mesh-to-mesh' && c.connection === 'new'

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
      (c.address === 'pod-ip' || p.clusterIP !== undefined),
  )
  if (c.traffic === 'probe') return servers.map((s) => [nodeOf(s), s])
  const clients = all.filter((p) => p.app === 'sleep' && p.enrolled === clientMeshed)
  return clients.flatMap((client) =>
    servers.filter((s) => (s.node === client.node) === (c.placement === 'same-node')).map((s): [Participant, Participant] => [client, s]),
  )
}

/** The node that a pod runs on, as a client. */
const nodeOf = (p: Participant): Participant => ({ ...p, netns: 'node', ip: p.gateway, identity: '', principal: '', enrolled: false })
