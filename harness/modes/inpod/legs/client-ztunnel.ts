import { exchanged } from '../../exchange.ts'
import { across, eth0, netns } from '../../network.ts'
import { flow, hop, type Leg, type LogProof, leg, log, socket } from '../../path.ts'
import type { BoundCase } from '../../place.ts'
import type { Release } from '../releases.ts'
import { PROXY_MARK } from '../rules.ts'

const nobody = ['src.identity', 'dst.identity', 'dst.hbone_addr']
const arrivingAt = (c: BoundCase) => flow(`${c.client.ip}:$client`, c.endpoint)
const told = (c: BoundCase, message: string, error?: string): LogProof => {
  const { from, to } = arrivingAt(c)
  const fields = { 'src.addr': from, 'dst.addr': to, direction: 'inbound' }
  return error === undefined
    ? log(netns(c.server), message, fields, ['error', ...nobody])
    : log(netns(c.server), message, { ...fields, error }, nobody)
}

/** From a client outside the mesh: turned to ztunnel as it enters the pod (facts 1.6 rows 1 and 2). */
export function clientToZtunnel(c: BoundCase, { entry }: Release): Leg {
  const asked = flow(`${c.client.ip}:$client`, c.destination)
  return leg('client-ztunnel', 'client → ztunnel', 'clear', `inpod-mode ${entry.facts}, 1.6 rows 1 and 2`, [
    ...across(c, arrivingAt(c), 'clear', c.client, c.server, asked),
    ...entry.plain(c, { title: 'reaches ztunnel', told: told(c, 'connection complete') }),
    ...exchanged(c, eth0(c.server), arrivingAt(c)),
  ])
}

/** The same where the mesh takes no plaintext: ztunnel has the connection, and closes it (facts 4.5, 4.7 STRICT). */
export function clientRefusedInClear(c: BoundCase, { entry }: Release): Leg {
  const asked = flow(`${c.client.ip}:$client`, c.destination)
  const error = 'connection closed due to policy rejection: explicitly denied by: istio-system/istio_converted_static_strict'
  return leg('client-ztunnel', 'client → ztunnel (refused)', 'clear', `inpod-mode ${entry.facts}, 1.6 rows 1 and 2, 4.5, 4.7`, [
    ...across(c, arrivingAt(c), 'clear', c.client, c.server, asked, false),
    ...entry.plain(c, { title: 'is refused by policy', told: told(c, 'connection complete', error) }),
  ])
}

/**
 * To one of ztunnel's own ports, from a client outside the mesh (facts 1.6 rows 4 to 6, 4.5, 4.6): 15001 and 15006 come to the plaintext listener,
 * which must not call itself; 15008 is the HBONE listener, and what comes is no TLS.
 */
export function clientToOwnPort(c: BoundCase, { entry }: Release): Leg {
  const calls = arrivingAt(c)
  const { to } = calls
  return leg('client-ztunnel', "client → ztunnel's own port", 'clear', `inpod-mode ${entry.facts}, 1.6 rows 4 to 6, 4.5, 4.6`, [
    ...across(c, calls, 'clear', c.client, c.server, calls, false),
    ...(to.endsWith(':15008')
      ? [
          ...entry.hbone(c, calls),
          hop(
            'is refused in the handshake',
            netns(c.server),
            socket(netns(c.server), to, calls.from, PROXY_MARK),
            told(c, 'connection failed', 'tls error: *'),
          ),
        ]
      : entry.plain(c, {
          title: 'is refused as a call to itself',
          told: told(c, 'connection failed', 'attempted recursive call to ourselves'),
        })),
  ])
}
