import type { Fault } from '../../fault.ts'
import { entered, probe, sealed } from './cases.ts'
import { dropped, moved, replaced } from './seeds.ts'

// Texts and positions: facts inpod-mode 1.2, golden pod-iptables-save.
const redirectIn = '! -d 127.0.0.1/32 -p tcp -m tcp ! --dport 15008 -m mark ! --mark 0x539/0xfff -j REDIRECT --to-ports 15006'
const acceptProbe = '-s 169.254.7.127/32 -p tcp -m tcp -j ACCEPT'

/** The rules of nat PREROUTING, by which release `today` takes what comes in. */
export const redirectFaults: readonly Fault[] = [
  {
    id: 'inbound-redirect-dropped',
    title: 'the rule that turns inbound plaintext to ztunnel is gone',
    seed: dropped('nat', 'ISTIO_PRERT', 2, redirectIn),
    cases: [entered],
    breaks: { case: entered, hop: 'client-ztunnel/is-turned-to-ztunnel' },
  },
  {
    id: 'inbound-redirect-catches-hbone',
    title: 'the inbound rule lost its exception for HBONE',
    seed: replaced('nat', 'ISTIO_PRERT', 2, redirectIn, redirectIn.replace(' -m tcp ! --dport 15008', '')),
    cases: [sealed],
    breaks: { case: sealed, hop: 'ztunnel-ztunnel/is-left-to-the-hbone-listener' },
  },
  {
    id: 'probe-not-let-through',
    title: 'the pod turns probes to ztunnel like anybody else',
    seed: dropped('nat', 'ISTIO_PRERT', 1, acceptProbe),
    cases: [probe],
    breaks: { case: probe, hop: 'node-app/passes-by-ztunnel' },
  },
  {
    id: 'inbound-jump-dropped',
    title: 'nat PREROUTING no longer jumps to the mesh',
    seed: dropped('nat', 'PREROUTING', 1, '-j ISTIO_PRERT'),
    cases: [entered],
    breaks: { case: entered, hop: 'client-ztunnel/is-turned-to-ztunnel' },
  },
  {
    id: 'probes-behind-the-redirect',
    title: 'the rule that lets probes through comes after the one that turns everybody to ztunnel',
    seed: moved('nat', 'ISTIO_PRERT', 1, acceptProbe),
    cases: [probe],
    breaks: { case: probe, hop: 'node-app/passes-by-ztunnel' },
  },
]
