import { eth0, loopback, netns } from '../../network.ts'
import { back, conntrack, dnsLog, flow, hop, type Leg, leg, type Proof, packet, socket, trace } from '../../path.ts'
import type { BoundCase } from '../../place.ts'
import type { Release } from '../releases.ts'
import { markConnection, PROXY_MARK, REPLY_MARK, redirectQuestionTcp, restoreMark, untouched } from '../rules.ts'
import { carries, nameServer, toNameServer } from './dns-forward.ts'

const udp = { protocol: 'udp' } as const

/** Who asked for what, and whether ztunnel knew it or passed it on (ztunnel, src/dns/server.rs: target `dns`, level debug). */
export function toldOfQuestion(c: BoundCase): readonly Proof[] {
  const { netns: name } = c.client
  const [namespace = '', pod = ''] = [name.slice(0, name.indexOf('.')), name.slice(name.indexOf('.') + 1)]
  const result = c.case.question?.name === 'of no service' ? 'forwarded' : 'success'
  return [dnsLog(netns(c.client), { 'src.workload': pod, 'src.namespace': namespace, query: 'A', domain: `${c.name}.`, result })]
}

/** The app's question is turned to ztunnel, whose answer seems to come from the name server (facts 1.2 DNS lines, 1.6 row 14, 4.12). */
export function questionToZtunnel(c: BoundCase, { entry, questions }: Release): Leg {
  const app = netns(c.client)
  const lo = loopback(c.client)
  const asked = flow(`${c.client.ip}:$question`, nameServer(c))
  const turned = flow(asked.from, '127.0.0.1:15053')
  return leg('app-dns', 'app → ztunnel (DNS)', 'clear', `inpod-mode ${entry.facts} DNS lines, 1.6 row 14, 4.12`, [
    hop('is turned around', app, trace(app, 'datagram', asked, 'nat OUTPUT ISTIO_OUTPUT', questions.redirect, 0)),
    hop('runs over lo', lo, packet(lo, 'out', 'datagram', turned), packet(lo, 'in', 'datagram', turned), ...carries(c, lo, turned)),
    hop(
      'is answered by ztunnel',
      lo,
      trace(app, 'answer', back(asked), 'mangle PREROUTING ISTIO_PRERT', markConnection, PROXY_MARK),
      packet(lo, 'in', 'answer', back(asked)),
      conntrack(app, asked, back(turned), REPLY_MARK, udp),
      ...questions.told(c),
    ),
  ])
}

/** The same over TCP (facts 1.2 DNS lines). */
export function questionOverTcp(c: BoundCase, { questions }: Release): Leg {
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
      ...questions.told(c),
    ),
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
    ...toNameServer(c, asked, eth0(c.client), c.client.veth),
  ])
}
