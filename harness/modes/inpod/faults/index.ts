import type { Fault } from '../../fault.ts'
import { sealed } from './cases.ts'
import { controlPlaneFaults } from './control-plane.ts'
import { disruptionFaults, establishedFaults, establishedTproxyFaults } from './disruption.ts'
import { identityFaults } from './identity.ts'
import { nodeFaults } from './node.ts'
import { laterProtocolFaults, protocolFaults, redirectUdp } from './protocols.ts'
import { proxyFaults } from './proxy.ts'
import { redirectFaults } from './redirect.ts'
import { ruleFaults } from './rules.ts'
import { secrecyFaults } from './secrecy.ts'
import { tproxyFaults } from './tproxy.ts'

/** TPROXY drops what no listener takes; without it, the kernel answers. */
const droppedAtTheDoor = (fault: Fault): Fault =>
  fault.id === 'hbone-listener-missing'
    ? { ...fault, breaks: { case: sealed, hop: 'ztunnel-ztunnel/is-given-to-the-hbone-listener' } }
    : fault

/** Every way to break the mode that the catalogue knows, by release. */
export const faults: Readonly<Record<string, readonly Fault[]>> = {
  today: [
    ...ruleFaults({ answers: 4, overLo: 5, redirect: 6 }),
    ...redirectFaults,
    ...nodeFaults('istio-inpod-probes-v4'),
    ...proxyFaults,
    ...identityFaults,
    ...controlPlaneFaults,
    ...secrecyFaults,
    ...protocolFaults({ redirectUdp, overLo: 5, askedElsewhere: 'app-dns/is-answered-by-ztunnel' }),
    ...laterProtocolFaults,
    ...disruptionFaults,
    ...establishedFaults,
  ],
  '1.21': [
    ...ruleFaults({ answers: 3, overLo: 4, redirect: 5 }),
    ...tproxyFaults,
    ...nodeFaults('istio-inpod-probes'),
    ...proxyFaults.map(droppedAtTheDoor),
    ...identityFaults,
    ...controlPlaneFaults,
    ...secrecyFaults,
    // Facts 1.1: without a look at the mark.
    ...protocolFaults({
      redirectUdp: '! -o lo -p udp -m udp --dport 53 -j REDIRECT --to-ports 15053',
      overLo: 4,
      askedElsewhere: 'case/sentinel',
    }),
    ...establishedFaults,
    ...establishedTproxyFaults,
  ],
}
