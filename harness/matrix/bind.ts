import type { BoundCase, Place } from '../modes/place.ts'
import type { Case } from './cell.ts'

/** A workload that can take part, as the running cluster has it. */
export interface Participant extends Place {
  readonly app: 'sleep' | 'httpbin'
  readonly enrolled: boolean
  /** Service account's principal without `spiffe://`, as policies name it. */
  readonly principal: string
  /** Pod name, namespace, uid. */
  readonly name: string
  readonly namespace: string
  readonly uid: string
  /** ClusterIP of a service that selects this pod only. */
  readonly clusterIP?: string
}

/** Ports of the server app and of the services before it. */
export interface AppPorts {
  readonly http: { readonly pod: number; readonly service: number }
  readonly tcp: { readonly pod: number; readonly service: number }
}

export interface Unbound {
  readonly case: Case
  readonly reason: string
}

/**
 * Gives each case its client and server, in order. Cases that need a tunnel of their own get a pair that no case before them used;
 * a case for which the topology has nobody is returned with the reason.
 */
export function bindCases(
  cases: readonly Case[],
  participants: readonly Participant[],
  ports: AppPorts,
): { bound: BoundCase[]; unbound: Unbound[] } {
  const used = new Set<string>()
  const bound: BoundCase[] = []
  const unbound: Unbound[] = []
  for (const c of cases) {
    const pair = pairsFor(c, participants).find(([client, server]) => !tunnels(c) || !used.has(`${client.netns} ${server.netns}`))
    if (!pair) {
      unbound.push({
        case: c,
        reason: `the topology has no ${tunnels(c) ? 'unused ' : ''}pair for ${c.traffic} on ${c.placement.replace('-', ' ')}s with a ${c.address}`,
      })
      continue
    }
    const [client, server] = pair
    used.add(`${client.netns} ${server.netns}`)
    const port = ports[c.protocol]
    const endpoint = `${server.ip}:${port.pod}`
    bound.push({
      case: c,
      client,
      server,
      endpoint,
      destination: c.address === 'pod-ip' ? endpoint : `${server.clusterIP}:${port.service}`,
    })
  }
  return { bound, unbound }
}

const tunnels = (c: Case) => c.traffic === 'mesh-to-mesh'

function pairsFor(c: Case, all: readonly Participant[]): [Participant, Participant][] {
  const clientMeshed = c.traffic === 'mesh-to-mesh' || c.traffic === 'mesh-to-plain'
  const serverMeshed = c.traffic !== 'mesh-to-plain'
  const servers = all.filter(
    (p) => p.app === 'httpbin' && p.enrolled === serverMeshed && (c.address === 'pod-ip' || p.clusterIP !== undefined),
  )
  if (c.traffic === 'probe') return servers.map((s) => [nodeOf(s), s])
  const clients = all.filter((p) => p.app === 'sleep' && p.enrolled === clientMeshed)
  return clients.flatMap((client) =>
    servers.filter((s) => (s.node === client.node) === (c.placement === 'same-node')).map((s): [Participant, Participant] => [client, s]),
  )
}

/** The node that a pod runs on, as a client. */
const nodeOf = (p: Participant): Participant => ({ ...p, netns: 'node', ip: p.gateway, identity: '', principal: '', enrolled: false })
