import { tokenIn } from './exchange.ts'
import { back, type Device, type Flow, type Hop, hop, type Netns, type Proof, packet, type Row, requestToken, token } from './path.ts'
import type { BoundCase, Place } from './place.ts'

/**
 * One connection from pod to pod over the node or nodes between: first packet and first data packet at every device, there and back.
 * `asked`: what the client addressed, where the node rewrites it on its way (ClusterIP). `answered`: whether the request gets a first byte back.
 */
export function across(
  c: BoundCase,
  carried: Flow,
  row: Row,
  client: Place,
  server: Place,
  asked: Flow = carried,
  answered = true,
): Omit<Hop, 'id'>[] {
  const on = (place: Place, dev: string): Device => ({ node: place.node, netns: 'node', dev })
  const steps: [title: string, at: Device, there: 'in' | 'out', f: Flow][] = [
    ['leaves the pod', eth0(client), 'out', asked],
    ['enters the node', on(client, client.veth), 'in', asked],
    ...(c.case.placement === 'other-node'
      ? ([
          ['leaves the node', on(client, client.underlay), 'out', carried],
          ["enters the server's node", on(server, server.underlay), 'in', carried],
        ] as [string, Device, 'in' | 'out', Flow][])
      : []),
    ["leaves for the server's pod", on(server, server.veth), 'out', carried],
    ["enters the server's pod", eth0(server), 'in', carried],
  ]
  return steps.map(([title, at, there, f]) => hop(title, at, ...passing(c, at, there, f, row, answered)))
}

/** What is seen of one connection, or of a datagram and its answer, at a device that it goes by whole, there and back. */
export function passing(c: BoundCase, at: Device, there: 'in' | 'out', f: Flow, row: Row, answered = true): readonly Proof[] {
  const home = there === 'in' ? 'out' : 'in'
  if (c.case.protocol === 'udp') return [packet(at, there, 'datagram', f), packet(at, home, 'answer', back(f)), token(at, row, f)]
  return [
    packet(at, there, 'syn', f),
    packet(at, home, 'syn-ack', back(f)),
    packet(at, there, 'data', f),
    ...(answered ? [packet(at, home, 'reply', back(f)), tokenIn(c, at, row, f)] : [requestToken(at, row, f)]),
  ]
}

export const netns = (place: Place): Netns => ({ node: place.node, netns: place.netns })
export const eth0 = (place: Place): Device => ({ ...netns(place), dev: 'eth0' })
export const loopback = (place: Place): Device => ({ ...netns(place), dev: 'lo' })
