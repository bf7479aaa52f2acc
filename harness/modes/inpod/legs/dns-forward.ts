import { eth0, netns } from '../../network.ts'
import {
  back,
  conntrack,
  type Device,
  type Flow,
  flow,
  type Hop,
  hop,
  leg,
  packet,
  requestToken,
  socket,
  trace,
  type Which,
} from '../../path.ts'
import type { BoundCase } from '../../place.ts'
import type { Questions } from '../releases.ts'
import { PROXY_MARK, untouched, zoneIn, zoneOut } from '../rules.ts'

export const nameServer = (c: BoundCase) => `${c.resolver}:53`
/** Only a case that is about the question carries a token in it. */
export const carries = (c: BoundCase, at: Device, f: Flow) => (c.case.question ? [requestToken(at, 'clear', f)] : [])

/** What ztunnel does not know it asks from the pod's own namespace, marked, and tracked in a zone of its own (facts 1.6 row 15, 4.12). */
export const askedFromThePod: Questions['forwarded'] = (c) => {
  const pod = netns(c.client)
  const asked = flow(`${c.client.ip}:$forward`, nameServer(c))
  const hops = [
    hop(
      'leaves in a zone of its own',
      pod,
      trace(pod, 'datagram', asked, 'raw OUTPUT ISTIO_OUTPUT', zoneOut, PROXY_MARK),
      trace(pod, 'datagram', asked, 'nat OUTPUT', untouched, PROXY_MARK),
      conntrack(pod, asked, back(asked), 0, { protocol: 'udp', zone: 1 }),
    ),
    ...toNameServer(c, asked, eth0(c.client), c.client.veth),
    hop('is found again in its zone', pod, trace(pod, 'answer', back(asked), 'raw PREROUTING ISTIO_PRERT', zoneIn, 0)),
  ]
  return {
    leg: leg('ztunnel-dns', 'ztunnel → name server', 'clear', 'inpod-mode 1.2 raw lines, 1.6 row 15, 4.12', hops),
    asker: { ip: c.client.ip, at: eth0(c.client) },
  }
}

/** Over TCP what came over TCP: from the pod, marked; no rule gives that a zone (facts 1.2, 1.6 row 10, 4.12). */
export const askedOverTcp: Questions['forwarded'] = (c) => {
  const pod = netns(c.client)
  const asked = flow(`${c.client.ip}:$forward`, nameServer(c))
  const hops = [
    hop(
      'leaves ztunnel uncaptured',
      pod,
      trace(pod, 'syn', asked, 'nat OUTPUT', untouched, PROXY_MARK),
      trace(pod, 'data', asked, 'mangle OUTPUT', untouched, PROXY_MARK),
      conntrack(pod, asked, back(asked), 0),
      socket(pod, asked.from, asked.to, PROXY_MARK),
    ),
    ...toNameServer(c, asked, eth0(c.client), c.client.veth, ['syn', 'data'], ['syn-ack', 'reply']),
  ]
  return {
    leg: leg('ztunnel-dns', 'ztunnel → name server (TCP)', 'clear', 'inpod-mode 1.2, 1.6 row 10, 4.12', hops),
    asker: { ip: c.client.ip, at: eth0(c.client) },
  }
}

/** To 1.23 from ztunnel's own namespace, where no rule is: from the pod it would be turned back to ztunnel (facts 1.1, 1.3, 1.6 row 15 TPROXY, 4.12). */
export const askedFromHome: Questions['forwarded'] = (c) => {
  const { netns: home, ip, veth } = c.client.proxy!
  const at = { node: c.client.node, netns: home, dev: 'eth0' }
  const hops = toNameServer(c, flow(`${ip}:$forward`, nameServer(c)), at, veth)
  return {
    leg: leg('ztunnel-dns', 'ztunnel → name server', 'clear', 'inpod-mode 1.1, 1.3, 1.6 row 15, 4.12', hops),
    asker: { ip, at },
  }
}

/**
 * To wherever the service of the name server leads, which is the cluster's business: the node's own translation tells.
 * @param inside where the question begins @param device its end on the node
 */
export function toNameServer(
  c: BoundCase,
  asked: Flow,
  inside: Device,
  device: string,
  questions: readonly Which[] = ['datagram'],
  answers: readonly Which[] = ['answer'],
): Omit<Hop, 'id'>[] {
  const node = { node: c.client.node, netns: 'node' }
  const veth = { ...node, dev: device }
  const underlay = { ...node, dev: c.client.underlay }
  const led = flow('$asker', '$asked')
  const steps: [title: string, at: Device, there: 'in' | 'out', f: Flow][] = [
    ['leaves the pod', inside, 'out', asked],
    ['enters the node', veth, 'in', asked],
    ['leaves for the name server', underlay, 'out', led],
  ]
  return steps.map(([title, at, there, f]) =>
    hop(
      title,
      at,
      ...questions.map((which) => packet(at, there, which, f)),
      ...answers.map((which) => packet(at, there === 'in' ? 'out' : 'in', which, back(f))),
      ...carries(c, at, f),
    ),
  )
}
