import { across, eth0, loopback, netns } from '../network.ts'
import {
  type Binding,
  back,
  conntrack,
  type Device,
  flow,
  hop,
  type Leg,
  leg,
  log,
  type Path,
  packet,
  requestToken,
  route,
  served,
  socket,
  token,
  trace,
} from '../path.ts'
import type { BoundCase } from '../place.ts'

// In-pod redirection, release `today`. Values: facts inpod-mode 1.0 (marks, ports), rule texts 1.2, flows 1.6, access log 4.8.
const PROXY_MARK = 0x539
const REPLY_MARK = 0x111
const PROBE_SNAT = '169.254.7.127'

const redirectOut = { rule: '-A ISTIO_OUTPUT ! -d 127.0.0.1/32 -p tcp -m mark ! --mark 0x539/0xfff -j REDIRECT --to-ports 15001' }
const redirectIn = {
  rule: '-A ISTIO_PRERT ! -d 127.0.0.1/32 -p tcp -m tcp ! --dport 15008 -m mark ! --mark 0x539/0xfff -j REDIRECT --to-ports 15006',
}
const acceptProbe = { rule: `-A ISTIO_PRERT -s ${PROBE_SNAT}/32 -p tcp -m tcp -j ACCEPT` }
const acceptLoopback = { rule: '-A ISTIO_OUTPUT ! -d 127.0.0.1/32 -o lo -j ACCEPT' }
const markConnection = { rule: '-A ISTIO_PRERT -m mark --mark 0x539/0xfff -j CONNMARK --set-xmark 0x111/0xfff' }
const restoreMark = {
  rule: '-A ISTIO_OUTPUT -m connmark --mark 0x111/0xfff -j CONNMARK --restore-mark --nfmask 0xffffffff --ctmask 0xffffffff',
}
const snatProbe = {
  rule: `-A ISTIO_POSTRT -p tcp -m owner --socket-exists -m set --match-set istio-inpod-probes-v4 dst -j SNAT --to-source ${PROBE_SNAT}`,
}
const untouched = { policy: 'accept' } as const

/** The path that a case must take. */
export function path(c: BoundCase): Path {
  const refused = c.case.policy === 'deny'
  switch (c.case.traffic) {
    case 'mesh-to-mesh':
      return {
        legs: [appToZtunnel(c), ztunnelToZtunnel(c, refused), ...(refused ? [] : [ztunnelToApp(c)])],
        bindings: {
          client: { from: 'client' },
          turned: turnedPort(c),
          hbone: { from: 'packet', ...eth0(c.client), source: c.client.ip, to: `${c.server.ip}:15008` },
          ...(refused ? {} : { served: dialledPort(c, loopback(c.server)) }),
        },
        outcome: refused ? 'refused' : 'served',
      }
    case 'mesh-to-plain':
      return {
        legs: [appToZtunnel(c), passedThrough(c)],
        bindings: { client: { from: 'client' }, turned: turnedPort(c), served: dialledPort(c, eth0(c.client)) },
        outcome: 'served',
      }
    case 'plain-to-mesh':
      return {
        legs: [clientToZtunnel(c), ztunnelToApp(c)],
        bindings: { client: { from: 'client' }, served: dialledPort(c, loopback(c.server)) },
        outcome: 'served',
      }
    case 'probe':
      return {
        legs: [nodeToApp(c)],
        bindings: {
          client: { from: 'client' },
          probe: { from: 'conntrack', node: c.server.node, netns: 'node', orig: flow(`${c.server.gateway}:$client`, c.endpoint) },
        },
        outcome: 'served',
      }
  }
}

/** REDIRECT keeps the client's port unless another connection to 15001 has it: then translation gives it another. */
const turnedPort = (c: BoundCase): Binding => ({
  from: 'conntrack',
  ...netns(c.client),
  orig: flow(`${c.client.ip}:$client`, c.destination),
})

/** ztunnel's own port towards the app: at the device where its connection begins. */
const dialledPort = (c: BoundCase, at: Device): Binding => ({ from: 'packet', ...at, source: c.client.ip, to: c.endpoint })

/** The client's side: facts 1.2 nat ISTIO_OUTPUT, 1.6 row 7; listeners inherit the mark, so the answer marks the connection (1.2 mangle ISTIO_PRERT, 4.1). */
function appToZtunnel(c: BoundCase): Leg {
  const app = netns(c.client)
  const lo = loopback(c.client)
  const asked = flow(`${c.client.ip}:$client`, c.destination)
  const turned = flow(`${c.client.ip}:$turned`, '127.0.0.1:15001')
  const answer = back(asked)
  return leg('app-ztunnel', 'app → ztunnel', 'clear', 'inpod-mode 1.2, 1.6 row 7', [
    hop('is turned around', app, trace(app, 'syn', asked, 'nat OUTPUT ISTIO_OUTPUT', redirectOut, 0)),
    hop('runs over lo', lo, packet(lo, 'out', 'syn', turned), packet(lo, 'in', 'syn', turned)),
    hop(
      'is answered by ztunnel',
      lo,
      trace(app, 'syn-ack', answer, 'mangle PREROUTING ISTIO_PRERT', markConnection, PROXY_MARK),
      packet(lo, 'in', 'syn-ack', answer),
      conntrack(app, asked, back(turned), REPLY_MARK),
      socket(app, '127.0.0.1:15001', turned.from, PROXY_MARK),
    ),
    hop(
      'carries the request',
      lo,
      trace(app, 'data', asked, 'mangle OUTPUT ISTIO_OUTPUT', restoreMark, REPLY_MARK),
      packet(lo, 'out', 'data', turned),
      packet(lo, 'in', 'data', turned),
      ...(c.case.policy === 'deny'
        ? [requestToken(lo, 'clear', turned)]
        : [packet(lo, 'in', 'reply', answer), token(lo, 'clear', turned, answer)]),
    ),
  ])
}

/** HBONE from pod to pod: facts 1.6 rows 4 and 10, 4.2, 4.8; the network between as in any cluster. */
function ztunnelToZtunnel(c: BoundCase, refused: boolean): Leg {
  const tunnel = flow(`${c.client.ip}:$hbone`, `${c.server.ip}:15008`)
  const from = netns(c.client)
  const to = netns(c.server)
  const identities = { 'src.identity': c.client.identity, 'dst.identity': c.server.identity }
  const outbound = { 'src.addr': `${c.client.ip}:$turned`, 'dst.addr': tunnel.to, 'dst.hbone_addr': c.endpoint, direction: 'outbound' }
  const inbound = { 'src.addr': tunnel.from, 'dst.addr': tunnel.to, 'dst.hbone_addr': c.endpoint, direction: 'inbound' }
  return leg(
    'ztunnel-ztunnel',
    'ztunnel → ztunnel (HBONE)',
    'sealed',
    'inpod-mode 1.6 rows 4 and 10, 4.2, 4.8',
    [
      hop(
        'leaves ztunnel uncaptured',
        from,
        trace(from, 'syn', tunnel, 'nat OUTPUT', untouched, PROXY_MARK),
        trace(from, 'data', tunnel, 'mangle OUTPUT', untouched, PROXY_MARK),
      ),
      ...across(c, tunnel, 'sealed', c.client, c.server),
      hop('is left to the HBONE listener', to, trace(to, 'syn', tunnel, 'nat PREROUTING', untouched, 0)),
      refused
        ? hop(
            'is refused by policy',
            to,
            log(to, 'connection complete', { ...inbound, ...identities, error: 'connection closed due to policy rejection: *' }),
          )
        : hop('is terminated with both identities', to, log(to, 'connection complete', { ...inbound, ...identities }, ['error'])),
      refused
        ? hop(
            'is told by the client side',
            from,
            log(from, 'connection complete', { ...outbound, ...identities, error: '*401 Unauthorized*' }),
          )
        : hop('is told by the client side', from, log(from, 'connection complete', { ...outbound, ...identities }, ['error'])),
    ],
    c.case.connection === 'pooled',
  )
}

/** The server's side: source kept, connection marked, answers brought home by the mark (facts 1.5, 1.6 row 12). */
function ztunnelToApp(c: BoundCase): Leg {
  const pod = netns(c.server)
  const lo = loopback(c.server)
  const inside = flow(`${c.client.ip}:$served`, c.endpoint)
  const answer = back(inside)
  return leg('ztunnel-app', 'ztunnel → app', 'clear', 'inpod-mode 1.2, 1.5, 1.6 row 12', [
    hop(
      "leaves with the client's address",
      pod,
      trace(pod, 'syn', inside, 'nat OUTPUT ISTIO_OUTPUT', acceptLoopback, PROXY_MARK),
      packet(lo, 'out', 'syn', inside),
    ),
    hop(
      'marks its connection',
      lo,
      packet(lo, 'in', 'syn', inside),
      trace(pod, 'syn', inside, 'mangle PREROUTING ISTIO_PRERT', markConnection, PROXY_MARK),
    ),
    hop(
      'is answered by way of lo',
      lo,
      trace(pod, 'syn-ack', answer, 'mangle OUTPUT ISTIO_OUTPUT', restoreMark, REPLY_MARK),
      packet(lo, 'out', 'syn-ack', answer),
      packet(lo, 'in', 'syn-ack', answer),
      conntrack(pod, inside, answer, REPLY_MARK),
      route(pod, '32764: from all fwmark 0x111/0xfff lookup 100', 'local default dev lo table 100'),
    ),
    hop(
      'carries the request',
      lo,
      trace(pod, 'data', inside, 'mangle OUTPUT ISTIO_OUTPUT', restoreMark, REPLY_MARK),
      packet(lo, 'in', 'data', inside),
      packet(lo, 'in', 'reply', answer),
      token(lo, 'clear', inside),
      socket(pod, inside.from, inside.to, PROXY_MARK),
    ),
    hop('is served', pod, served(pod, inside.from, inside.to)),
  ])
}

/** To a server outside the mesh: plain TCP from the pod's own address (facts 4.4 row 6 and 9, 1.6 row 10). */
function passedThrough(c: BoundCase): Leg {
  const from = netns(c.client)
  const to = netns(c.server)
  const plain = flow(`${c.client.ip}:$served`, c.endpoint)
  const told = { 'src.addr': `${c.client.ip}:$turned`, 'dst.addr': c.endpoint, direction: 'outbound' }
  return leg('ztunnel-server', 'ztunnel → server (passed through)', 'clear', 'inpod-mode 1.6 row 10, 4.4 rows 6 and 9', [
    hop('leaves ztunnel uncaptured', from, trace(from, 'syn', plain, 'nat OUTPUT', untouched, PROXY_MARK)),
    ...across(c, plain, 'clear', c.client, c.server),
    hop('is served', to, served(to, plain.from, plain.to)),
    hop(
      'is told by the client side',
      from,
      log(from, 'connection complete', told, ['error', 'src.identity', 'dst.identity', 'dst.hbone_addr']),
      socket(from, plain.from, plain.to, PROXY_MARK),
    ),
  ])
}

/** From a client outside the mesh: redirected as it enters the pod (facts 1.2 nat ISTIO_PRERT, 1.6 rows 1 and 2). */
function clientToZtunnel(c: BoundCase): Leg {
  const to = netns(c.server)
  const asked = flow(`${c.client.ip}:$client`, c.destination)
  const arriving = flow(`${c.client.ip}:$client`, c.endpoint)
  const told = { 'src.addr': arriving.from, 'dst.addr': arriving.to, direction: 'inbound' }
  return leg('client-ztunnel', 'client → ztunnel', 'clear', 'inpod-mode 1.2, 1.6 rows 1 and 2', [
    ...across(c, arriving, 'clear', c.client, c.server, asked),
    hop('is turned to ztunnel', to, trace(to, 'syn', arriving, 'nat PREROUTING ISTIO_PRERT', redirectIn, 0)),
    hop(
      'reaches ztunnel',
      to,
      conntrack(to, arriving, flow(`${c.server.ip}:15006`, arriving.from), 0),
      socket(to, `${c.server.ip}:15006`, arriving.from, PROXY_MARK),
      log(to, 'connection complete', told, ['error', 'src.identity', 'dst.identity', 'dst.hbone_addr']),
    ),
  ])
}

/** A probe from the node: its source is rewritten, and the pod lets it through to the app (facts 1.0, 1.6 row 3, golden node-host-rules-ipset). */
function nodeToApp(c: BoundCase): Leg {
  const node = { node: c.server.node, netns: 'node' }
  const pod = netns(c.server)
  const veth = { ...node, dev: c.server.veth }
  const inside = { ...pod, dev: 'eth0' }
  const asked = flow(`${c.server.gateway}:$client`, c.endpoint)
  const probe = flow(`${PROBE_SNAT}:$probe`, c.endpoint)
  return leg('node-app', 'node → app (probe)', 'clear', 'inpod-mode 1.0, 1.6 row 3', [
    hop(
      'is given the probe address',
      node,
      trace(node, 'syn', asked, 'nat POSTROUTING ISTIO_POSTRT', snatProbe, 0),
      conntrack(node, asked, back(probe), 0),
    ),
    hop('leaves the node', veth, packet(veth, 'out', 'syn', probe), packet(veth, 'out', 'data', probe), token(veth, 'clear', probe)),
    hop('enters the pod', inside, packet(inside, 'in', 'syn', probe), packet(inside, 'in', 'data', probe), token(inside, 'clear', probe)),
    hop(
      'passes by ztunnel',
      pod,
      trace(pod, 'syn', probe, 'nat PREROUTING ISTIO_PRERT', acceptProbe, 0),
      conntrack(pod, probe, back(probe), 0),
    ),
    hop('is served', pod, served(pod, probe.from, probe.to)),
    hop('is answered directly', inside, packet(inside, 'out', 'syn-ack', back(probe)), packet(inside, 'out', 'reply', back(probe))),
    hop('comes home', veth, packet(veth, 'in', 'syn-ack', back(probe)), packet(veth, 'in', 'reply', back(probe))),
  ])
}
