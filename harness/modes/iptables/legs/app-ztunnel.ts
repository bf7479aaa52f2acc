import { exchanged } from '../../exchange.ts'
import { eth0, netns, passing } from '../../network.ts'
import { flow, type Hop, hop, type Leg, leg, untouched } from '../../path.ts'
import type { BoundCase } from '../../place.ts'
import { captured, heldByZtunnel } from './captured.ts'
import { veth } from './opened.ts'

/** What a client of the mesh asks, on its way to its node's ztunnel: nothing in the pod, no translation on the node (facts 4.1 rows 1 to 10). */
export function appToZtunnel(c: BoundCase, answered = true, ends: readonly Omit<Hop, 'id'>[] = []): Leg {
  const asked = flow(`${c.client.ip}:$client`, c.destination)
  const inside = eth0(c.client)
  return leg('app-ztunnel', 'app → ztunnel', 'clear', 'geneve-mode 0.1, 4.1 rows 1 to 10', [
    hop('has nothing of the mesh in its pod', netns(c.client), untouched(netns(c.client))),
    hop('leaves the pod', inside, ...passing(c, inside, 'out', asked, 'clear', answered)),
    hop('enters the node', veth(c.client), ...passing(c, veth(c.client), 'in', asked, 'clear', answered)),
    ...captured({ c, at: c.client, listener: 'outbound', asked, row: 'clear', answered }),
    heldByZtunnel({ at: c.client, asked }),
    ...(answered ? exchanged(c, inside, asked) : []),
    ...ends,
  ])
}
