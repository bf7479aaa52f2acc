import { type Binding, flow, type Outcome, type Path } from '../path.ts'
import type { BoundCase, Place } from '../place.ts'
import { appToZtunnel } from './legs/app-ztunnel.ts'
import { clientRefusedInClear, clientToOwnPort, clientToZtunnel } from './legs/client-ztunnel.ts'
import { questionPassedOn, questionToZtunnel } from './legs/dns.ts'
import { forgedToZtunnel } from './legs/forged.ts'
import { nodeToApp } from './legs/node-app.ts'
import { appToItself, udpUncaptured } from './legs/uncaptured.ts'
import { toldOnce, ztunnelToApp, ztunnelToAppHere, ztunnelToItself } from './legs/ztunnel-app.ts'
import { passedThrough, ztunnelToImpostor } from './legs/ztunnel-server.ts'
import { ztunnelToZtunnel } from './legs/ztunnel-ztunnel.ts'
import { proxyOf } from './rules.ts'

/** The path that a case must take: which legs, and where the ports come from that only the run knows. Release 1.20. */
export function path(c: BoundCase): Path {
  const client: Binding = { from: 'client' }
  if (c.case.protocol === 'udp') return { legs: [udpUncaptured(c)], bindings: { client }, outcome: 'served' }
  switch (c.case.traffic) {
    case 'mesh-to-mesh':
      return withQuestion(c, c.case.placement === 'other-node' ? betweenNodes(c) : onOneNode(c))
    case 'mesh-to-plain':
      return {
        legs: [appToZtunnel(c), passedThrough(c)],
        bindings: { client, ...intoOut(c), served: dialledPort(c.client, c.client.ip, c.endpoint) },
        outcome: 'served',
      }
    case 'plain-to-mesh':
      if (c.case.policy === 'strict')
        return { legs: [clientRefusedInClear(c)], bindings: { client, ...intoIn(c, 'client', c.endpoint) }, outcome: 'closed' }
      return {
        legs: [clientToZtunnel(c), ztunnelToApp(c)],
        bindings: { client, ...intoIn(c, 'client', c.endpoint), served: servedPort(c) },
        outcome: 'served',
      }
    case 'probe':
      return { legs: [nodeToApp(c)], bindings: { client }, outcome: 'served' }
    case 'direct':
      if (c.case.caller === 'plain')
        return { legs: [clientToOwnPort(c)], bindings: { client, ...intoIn(c, 'client', c.endpoint) }, outcome: 'closed' }
      return {
        legs: [appToZtunnel(c, false), ztunnelToZtunnel(c, 'refused as a call to itself')],
        bindings: tunnelBindings(c),
        outcome: 'closed',
      }
    case 'forged':
      return { legs: [forgedToZtunnel(c)], bindings: { hbone: client, ...intoIn(c, 'hbone', hboneOf(c)) }, outcome: forgedOutcome(c) }
    case 'self':
      if (c.case.address === 'pod-ip') return { legs: [appToItself(c)], bindings: { client }, outcome: 'served' }
      return {
        legs: [appToZtunnel(c), ztunnelToItself(c)],
        bindings: { client, ...intoOut(c), served: dialledPort(c.server, proxyOf(c.server).ip, c.endpoint) },
        outcome: 'served',
      }
    case 'mesh-to-dns':
      return questionPath(c)
    case 'mesh-to-impostor':
      return {
        legs: [appToZtunnel(c, false), ztunnelToImpostor(c)],
        bindings: { client, ...intoOut(c), hbone: dialledPort(c.client, c.client.ip, hboneOf(c)) },
        outcome: 'closed',
      }
  }
}

/** Facts 4.1. */
function betweenNodes(c: BoundCase): Path {
  const refused = c.case.policy === 'deny'
  return {
    legs: [
      appToZtunnel(c, !refused),
      ztunnelToZtunnel(c, refused ? 'refused by policy' : 'carried'),
      ...(refused ? [] : [ztunnelToApp(c)]),
    ],
    bindings: { ...tunnelBindings(c), ...(refused ? {} : { served: servedPort(c) }) },
    outcome: refused ? 'closed' : 'served',
  }
}

/** Facts 4.2. */
function onOneNode(c: BoundCase): Path {
  const bindings: Path['bindings'] = { client: { from: 'client' }, ...intoOut(c) }
  if (c.case.policy === 'deny') {
    const told = toldOnce(c, 'connection closed due to policy rejection: *')
    return { legs: [appToZtunnel(c, false, [told])], bindings, outcome: 'closed' }
  }
  const revoked = c.case.policy === 'revoked'
  return {
    legs: [appToZtunnel(c, !revoked), ztunnelToAppHere(c, !revoked)],
    bindings: { ...bindings, served: servedPort(c) },
    outcome: revoked ? 'cut-off' : 'served',
  }
}

/** A client that dials a name asks for it first. */
const withQuestion = (c: BoundCase, { legs, bindings, outcome }: Path): Path =>
  c.name === undefined
    ? { legs, bindings, outcome }
    : { legs: [questionToZtunnel(c), ...legs], bindings: { ...bindings, question: { from: 'question' } }, outcome }

/** A question of the app: to ztunnel, which passes on what it does not know. */
function questionPath(c: BoundCase): Path {
  const question: Binding = { from: 'question' }
  if (c.case.question?.name === 'of the mesh') return { legs: [questionToZtunnel(c)], bindings: { question }, outcome: 'resolved' }
  const { ip } = proxyOf(c.client)
  const at = { from: 'translation', node: c.client.node, netns: 'node', orig: flow(`${ip}:$forward`, c.destination) } as const
  return {
    legs: [questionToZtunnel(c), questionPassedOn(c)],
    bindings: {
      question,
      forward: dialledPort(c.client, ip, c.destination),
      asker: { ...at, side: 'asker' },
      asked: { ...at, side: 'asked' },
    },
    outcome: 'resolved',
  }
}

/** In the handshake a peer is told nothing; later its CONNECT is answered (facts 2.5 inbound HBONE). */
function forgedOutcome({ case: { forgery } }: BoundCase): Outcome {
  if (forgery === 'other-authority') return 'answered 400'
  return forgery === 'disallowed' ? 'answered 401' : 'closed'
}

const hboneOf = (c: BoundCase) => `${c.server.ip}:15008`

/** The port of a connection that ztunnel opens, where it leaves its namespace: what comes in there can have the same ends. */
const dialledPort = (at: Place, source: string, to: string): Binding => ({
  ...{ from: 'packet', node: at.node, netns: proxyOf(at).netns, dev: 'eth0', direction: 'out' },
  source,
  to,
})
const servedPort = (c: BoundCase) => dialledPort(c.server, c.client.ip, c.endpoint)

/** Of the datagram that carries a SYN on its node's device towards ztunnel. */
const wrapped = (at: Place, from: string, to: string): Binding => ({
  ...{ from: 'tunnel', node: at.node, netns: 'node', dev: proxyOf(at).veth },
  inner: flow(from, to),
})
const intoOut = (c: BoundCase) => ({ tunnelout: wrapped(c.client, `${c.client.ip}:$client`, c.destination) })
const intoIn = (c: BoundCase, variable: 'client' | 'hbone', to: string) => ({
  tunnelin: wrapped(c.server, `${c.client.ip}:$${variable}`, to),
})

const tunnelBindings = (c: BoundCase): Path['bindings'] => ({
  client: { from: 'client' },
  ...intoOut(c),
  hbone: dialledPort(c.client, c.client.ip, hboneOf(c)),
  ...intoIn(c, 'hbone', hboneOf(c)),
})
