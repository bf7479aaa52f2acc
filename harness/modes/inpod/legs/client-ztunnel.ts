import { across } from '../../network.ts'
import { flow, type Leg, leg } from '../../path.ts'
import type { BoundCase } from '../../place.ts'
import type { Release } from '../releases.ts'

/** From a client outside the mesh: turned to ztunnel as it enters the pod (facts 1.6 rows 1 and 2). */
export function clientToZtunnel(c: BoundCase, { entry }: Release): Leg {
  const asked = flow(`${c.client.ip}:$client`, c.destination)
  const arriving = flow(`${c.client.ip}:$client`, c.endpoint)
  return leg('client-ztunnel', 'client → ztunnel', 'clear', `inpod-mode ${entry.facts}, 1.6 rows 1 and 2`, [
    ...across(c, arriving, 'clear', c.client, c.server, asked),
    ...entry.plain(c),
  ])
}
