import { eth0, loopback, netns } from '../network.ts'
import { type Binding, type Device, flow, type Outcome, type Path } from '../path.ts'
import type { BoundCase } from '../place.ts'
import { appToZtunnel } from './legs/app-ztunnel.ts'
import { clientRefusedInClear, clientToOwnPort, clientToZtunnel } from './legs/client-ztunnel.ts'
import { questionOverTcp, questionToZtunnel, questionUncaptured } from './legs/dns.ts'
import { askedOverTcp } from './legs/dns-forward.ts'
import { forgedToZtunnel, ztunnelToImpostor } from './legs/forged.ts'
import { nodeToApp } from './legs/node-app.ts'
import { appToItself, appToOwnPort, ztunnelToItself } from './legs/self.ts'
import { udpUncaptured } from './legs/udp.ts'
import { ztunnelToApp } from './legs/ztunnel-app.ts'
import { passedThrough } from './legs/ztunnel-server.ts'
import { ztunnelToZtunnel } from './legs/ztunnel-ztunnel.ts'
import { type Release, releaseOf } from './releases.ts'

/** The path that a case must take: which legs, and where the ports come from that only the run knows. */
export function path(c: BoundCase): Path {
  const release = releaseOf(c.case.release)
  const refused = c.case.policy === 'deny'
  const revoked = c.case.policy === 'revoked'
  if (c.case.protocol === 'udp') return { legs: [udpUncaptured(c, release)], bindings: { client: { from: 'client' } }, outcome: 'served' }
  switch (c.case.traffic) {
    case 'mesh-to-mesh':
      return {
        legs: [
          ...(c.name === undefined ? [] : [questionToZtunnel(c, release)]),
          appToZtunnel(c, release, refused || revoked),
          ztunnelToZtunnel(c, release, refused ? 'refused by policy' : revoked ? 'cut off by policy' : 'carried'),
          ...(refused ? [] : [ztunnelToApp(c, release, !revoked)]),
        ],
        bindings: {
          ...meshBindings(c),
          ...(c.name === undefined ? {} : { question: { from: 'question' } }),
          ...(refused ? {} : { served: dialledPort(c, loopback(c.server)) }),
        },
        outcome: refused ? 'closed' : revoked ? 'cut-off' : 'served',
      }
    case 'mesh-to-plain':
      return {
        legs: [appToZtunnel(c, release), passedThrough(c, release)],
        bindings: { client: { from: 'client' }, turned: turnedPort(c), served: dialledPort(c, eth0(c.client)) },
        outcome: 'served',
      }
    case 'plain-to-mesh':
      if (c.case.policy === 'strict')
        return { legs: [clientRefusedInClear(c, release)], bindings: { client: { from: 'client' } }, outcome: 'closed' }
      return {
        legs: [clientToZtunnel(c, release), ztunnelToApp(c, release)],
        bindings: { client: { from: 'client' }, served: dialledPort(c, loopback(c.server)) },
        outcome: 'served',
      }
    case 'probe':
      return {
        legs: [nodeToApp(c, release)],
        bindings: {
          client: { from: 'client' },
          probe: { from: 'conntrack', node: c.server.node, netns: 'node', orig: flow(`${c.server.gateway}:$client`, c.endpoint) },
        },
        outcome: 'served',
      }
    case 'direct':
      if (c.case.caller === 'itself')
        return { legs: [appToOwnPort(c, release)], bindings: { client: { from: 'client' } }, outcome: 'closed' }
      if (c.case.caller === 'plain')
        return { legs: [clientToOwnPort(c, release)], bindings: { client: { from: 'client' } }, outcome: 'closed' }
      return {
        legs: [appToZtunnel(c, release, true), ztunnelToZtunnel(c, release, 'refused as a call to itself')],
        bindings: meshBindings(c),
        outcome: 'closed',
      }
    case 'forged':
      return { legs: [forgedToZtunnel(c, release)], bindings: { hbone: { from: 'client' } }, outcome: forgedOutcome(c) }
    case 'self':
      if (c.case.address === 'pod-ip')
        return { legs: [appToItself(c, release)], bindings: { client: { from: 'client' } }, outcome: 'served' }
      return {
        legs: [appToZtunnel(c, release), ztunnelToItself(c, release), ztunnelToApp(c, release)],
        bindings: {
          client: { from: 'client' },
          turned: turnedPort(c),
          hbone: { from: 'packet', ...loopback(c.client), source: c.client.ip, to: `${c.server.ip}:15008` },
          served: dialledPort(c, loopback(c.server)),
        },
        outcome: 'served',
      }
    case 'mesh-to-dns':
      return questionPath(c, release)
    case 'mesh-to-impostor':
      return { legs: [appToZtunnel(c, release, true), ztunnelToImpostor(c, release)], bindings: meshBindings(c), outcome: 'closed' }
  }
}

/** A question of the app: to ztunnel, which passes on what it does not know, or by itself to the name server. */
function questionPath(c: BoundCase, release: Release): Path {
  const outcome = 'resolved'
  const { name, transport, captured } = c.case.question!
  const translated = (asker: string): Record<string, Binding> => {
    const at = { node: c.client.node, netns: 'node', orig: flow(asker, c.destination) }
    return { asker: { from: 'translation', ...at, side: 'asker' }, asked: { from: 'translation', ...at, side: 'asked' } }
  }
  const question = { from: 'question' } as const
  if (!captured) return { legs: [questionUncaptured(c)], bindings: { question, ...translated(`${c.client.ip}:$question`) }, outcome }
  const overTcp = transport === 'tcp'
  const first = overTcp ? questionOverTcp(c, release) : questionToZtunnel(c, release)
  const bindings: Record<string, Binding> = overTcp ? { client: { from: 'client' }, turned: turnedPort(c) } : { question }
  if (name === 'of the mesh') return { legs: [first], bindings, outcome }
  const { leg, asker } = overTcp ? askedOverTcp(c) : release.questions.forwarded(c)
  const forward: Binding = { from: 'packet', ...asker.at, source: asker.ip, to: c.destination }
  return { legs: [first, leg], bindings: { ...bindings, forward, ...translated(`${asker.ip}:$forward`) }, outcome }
}

/** In the handshake a peer is told nothing; later its CONNECT is answered (facts 4.2 responses). */
function forgedOutcome({ case: { forgery } }: BoundCase): Outcome {
  if (forgery === 'other-authority') return 'answered 400'
  return forgery === 'disallowed' ? 'answered 401' : 'closed'
}

const meshBindings = (c: BoundCase): Record<string, Binding> => ({
  client: { from: 'client' },
  turned: turnedPort(c),
  hbone: { from: 'packet', ...eth0(c.client), source: c.client.ip, to: `${c.server.ip}:15008` },
})

/** REDIRECT keeps the client's port unless another connection to 15001 has it: then translation gives it another. */
const turnedPort = (c: BoundCase): Binding => ({
  from: 'conntrack',
  ...netns(c.client),
  orig: flow(`${c.client.ip}:$client`, c.destination),
})

/** ztunnel's own port towards the app: at the device where its connection begins. */
const dialledPort = (c: BoundCase, at: Device): Binding => ({ from: 'packet', ...at, source: c.client.ip, to: c.endpoint })
