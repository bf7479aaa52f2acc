import { eth0, loopback, netns } from '../../network.ts'
import {
  back,
  conntrack,
  type Device,
  type Flow,
  flow,
  type Hop,
  hop,
  type Leg,
  leg,
  packet,
  requestToken,
  socket,
  trace,
} from '../../path.ts'
import type { BoundCase } from '../../place.ts'
import {
  markConnection,
  PROXY_MARK,
  REPLY_MARK,
  redirectQuestion,
  redirectQuestionTcp,
  restoreMark,
  untouched,
  zoneIn,
  zoneOut,
} from '../rules.ts'

const udp = { protocol: 'udp' } as const
const nameServer = (c: BoundCase) => `${c.resolver}:53`
/** Only a case that is about the question carries a token in it. */
const carries = (c: BoundCase, at: Device, f: Flow) => (c.case.question ? [requestToken(at, 'clear', f)] : [])

/** The app's question is turned to ztunnel, whose answer seems to come from the name server (facts 1.2 DNS lines, 1.6 row 14, 4.12). */
export function questionToZtunnel(c: BoundCase): Leg {
  const app = netns(c.client)
  const lo = loopback(c.client)
  const asked = flow(`${c.client.ip}:$question`, nameServer(c))
  const turned = flow(asked.from, '127.0.0.1:15053')
  return leg('app-dns', 'app → ztunnel (DNS)', 'clear', 'inpod-mode 1.2 DNS lines, 1.6 row 14, 4.12', [
    hop('is turned around', app, trace(app, 'datagram', asked, 'nat OUTPUT ISTIO_OUTPUT', redirectQuestion, 0)),
    hop('runs over lo', lo, packet(lo, 'out', 'datagram', turned), packet(lo, 'in', 'datagram', turned), ...carries(c, lo, turned)),
    hop(
      'is answered by ztunnel',
      lo,
      trace(app, 'answer', back(asked), 'mangle PREROUTING ISTIO_PRERT', markConnection, PROXY_MARK),
      packet(lo, 'in', 'answer', back(asked)),
      conntrack(app, asked, back(turned), REPLY_MARK, udp),
    ),
  ])
}

/** The same over TCP (facts 1.2 DNS lines). */
export function questionOverTcp(c: BoundCase): Leg {
  const app = netns(c.client)
  const lo = loopback(c.client)
  const asked = flow(`${c.client.ip}:$client`, nameServer(c))
  const turned = flow(`${c.client.ip}:$turned`, '127.0.0.1:15053')
  const answer = back(asked)
  return leg('app-dns', 'app → ztunnel (DNS over TCP)', 'clear', 'inpod-mode 1.2 DNS lines, 1.6 row 14, 4.12', [
    hop('is turned around', app, trace(app, 'syn', asked, 'nat OUTPUT ISTIO_OUTPUT', redirectQuestionTcp, 0)),
    hop('runs over lo', lo, packet(lo, 'out', 'syn', turned), packet(lo, 'in', 'syn', turned)),
    hop(
      'comes to ztunnel',
      lo,
      trace(app, 'syn-ack', answer, 'mangle PREROUTING ISTIO_PRERT', markConnection, PROXY_MARK),
      packet(lo, 'in', 'syn-ack', answer),
      conntrack(app, asked, back(turned), REPLY_MARK),
      socket(app, '127.0.0.1:15053', turned.from, PROXY_MARK),
    ),
    hop(
      'is answered by ztunnel',
      lo,
      trace(app, 'data', asked, 'mangle OUTPUT ISTIO_OUTPUT', restoreMark, REPLY_MARK),
      packet(lo, 'in', 'data', turned),
      packet(lo, 'in', 'reply', answer),
      ...carries(c, lo, turned),
    ),
  ])
}

/** What ztunnel does not know it asks from the pod's own namespace, marked, and tracked in a zone of its own (facts 1.6 row 15, 4.12). */
export function ztunnelToNameServer(c: BoundCase): Leg {
  const pod = netns(c.client)
  const asked = flow(`${c.client.ip}:$forward`, nameServer(c))
  return leg('ztunnel-dns', 'ztunnel → name server', 'clear', 'inpod-mode 1.2 raw lines, 1.6 row 15, 4.12', [
    hop(
      'leaves in a zone of its own',
      pod,
      trace(pod, 'datagram', asked, 'raw OUTPUT ISTIO_OUTPUT', zoneOut, PROXY_MARK),
      trace(pod, 'datagram', asked, 'nat OUTPUT', untouched, PROXY_MARK),
      conntrack(pod, asked, back(asked), 0, { protocol: 'udp', zone: 1 }),
    ),
    ...toNameServer(c, asked),
    hop('is found again in its zone', pod, trace(pod, 'answer', back(asked), 'raw PREROUTING ISTIO_PRERT', zoneIn, 0)),
  ])
}

/** A pod that opted out asks by itself (facts 1.4, 1.2 without the DNS lines). */
export function questionUncaptured(c: BoundCase): Leg {
  const app = netns(c.client)
  const asked = flow(`${c.client.ip}:$question`, nameServer(c))
  return leg('app-dns', 'app → name server (not captured)', 'clear', 'inpod-mode 1.2, 1.4', [
    hop(
      'leaves the app uncaptured',
      app,
      trace(app, 'datagram', asked, 'nat OUTPUT', untouched, 0),
      conntrack(app, asked, back(asked), 0, udp),
    ),
    ...toNameServer(c, asked),
  ])
}

/** To wherever the service of the name server leads, which is the cluster's business: the node's own translation tells. */
function toNameServer(c: BoundCase, asked: Flow): Omit<Hop, 'id'>[] {
  const node = { node: c.client.node, netns: 'node' }
  const inside = eth0(c.client)
  const veth = { ...node, dev: c.client.veth }
  const underlay = { ...node, dev: c.client.underlay }
  const led = flow('$asker', '$asked')
  const steps: [title: string, at: Device, there: 'in' | 'out', f: Flow][] = [
    ['leaves the pod', inside, 'out', asked],
    ['enters the node', veth, 'in', asked],
    ['leaves for the name server', underlay, 'out', led],
  ]
  return steps.map(([title, at, there, f]) =>
    hop(title, at, packet(at, there, 'datagram', f), packet(at, there === 'in' ? 'out' : 'in', 'answer', back(f)), ...carries(c, at, f)),
  )
}
