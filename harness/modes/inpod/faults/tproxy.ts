import type { Fault } from '../../fault.ts'
import { entered, passed, probe, question, sealed } from './cases.ts'
import { probeRule } from './node.ts'
import { dropped, edit, moved, patched, replaced } from './seeds.ts'

// Texts and positions: facts inpod-mode 1.1.
const tproxy = (match: string, port: number) =>
  `${match} -m mark ! --mark 0x539/0xfff -j TPROXY --on-port ${port} --on-ip 0.0.0.0 --tproxy-mark 0x111/0xfff`
const acceptProbe = '-s 169.254.7.127/32 -p tcp -m tcp -j ACCEPT'
const acceptOverLo = '! -d 127.0.0.1/32 -i lo -p tcp -j ACCEPT'
const hboneIn = tproxy('-p tcp -m tcp --dport 15008', 15008)
const established = '-p tcp -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT'
const plainIn = tproxy('! -d 127.0.0.1/32 -p tcp', 15006)
const at = { probe: 2, overLo: 3, hbone: 4, established: 5, plain: 6 }
const chain = ['mangle', 'ISTIO_PRERT'] as const
const hboneGiven = { case: sealed, hop: 'ztunnel-ztunnel/is-given-to-the-hbone-listener' }
const plainTurned = { case: entered, hop: 'client-ztunnel/is-turned-to-ztunnel' }

/** The rules of mangle PREROUTING, by which release `1.21` takes what comes in, and what it needs of the node and of ztunnel. */
export const tproxyFaults: readonly Fault[] = [
  {
    id: 'inbound-tproxy-dropped',
    title: 'the rule that gives inbound plaintext to ztunnel is gone',
    seed: dropped(...chain, at.plain, plainIn),
    cases: [entered],
    breaks: plainTurned,
  },
  {
    id: 'inbound-tproxy-to-wrong-port',
    title: 'inbound plaintext is given to a port where nobody listens',
    seed: replaced(...chain, at.plain, plainIn, plainIn.replace('15006', '15007')),
    cases: [entered],
    breaks: plainTurned,
  },
  {
    id: 'inbound-tproxy-marks-wrongly',
    title: 'what is given to ztunnel gets another mark',
    seed: replaced(...chain, at.plain, plainIn, plainIn.replace('--tproxy-mark 0x111', '--tproxy-mark 0x112')),
    cases: [entered],
    breaks: plainTurned,
  },
  {
    id: 'hbone-tproxy-dropped',
    title: 'the rule for HBONE is gone: it goes to the plaintext listener',
    seed: dropped(...chain, at.hbone, hboneIn),
    cases: [sealed],
    breaks: hboneGiven,
  },
  {
    id: 'hbone-tproxy-to-wrong-port',
    title: 'HBONE is given to the plaintext listener',
    seed: replaced(...chain, at.hbone, hboneIn, hboneIn.replace('--on-port 15008', '--on-port 15006')),
    cases: [sealed],
    breaks: hboneGiven,
  },
  {
    id: 'hbone-behind-established',
    title: 'the rule for HBONE comes after the one for established connections',
    seed: moved(...chain, at.hbone, hboneIn),
    cases: [sealed],
    breaks: hboneGiven,
  },
  {
    id: 'established-not-accepted',
    title: 'the rule for established connections is gone',
    seed: dropped(...chain, at.established, established),
    cases: [passed],
    breaks: { case: passed, hop: 'ztunnel-server/is-answered-past-the-rules' },
  },
  {
    id: 'established-behind-the-tproxy',
    title: 'the rule for established connections comes after the one that gives everybody to ztunnel',
    seed: moved(...chain, at.established, established),
    cases: [passed],
    breaks: { case: passed, hop: 'ztunnel-server/is-answered-past-the-rules' },
  },
  {
    id: 'packets-over-lo-not-spared',
    title: "the rule that spares packets over the pod's lo is gone",
    seed: dropped(...chain, at.overLo, acceptOverLo),
    cases: [entered],
    breaks: { case: entered, hop: 'ztunnel-app/marks-its-connection' },
  },
  {
    id: 'probe-not-let-through',
    title: 'the pod gives probes to ztunnel like anybody else',
    seed: dropped(...chain, at.probe, acceptProbe),
    cases: [probe],
    breaks: { case: probe, hop: 'node-app/passes-by-ztunnel' },
  },
  {
    id: 'probes-behind-the-tproxy',
    title: 'the rule that lets probes through comes after the one that gives everybody to ztunnel',
    seed: moved(...chain, at.probe, acceptProbe),
    cases: [probe],
    breaks: { case: probe, hop: 'node-app/passes-by-ztunnel' },
  },
  {
    id: 'inbound-jump-dropped',
    title: 'mangle PREROUTING no longer jumps to the mesh',
    seed: dropped('mangle', 'PREROUTING', 1, '-j ISTIO_PRERT'),
    cases: [entered],
    breaks: plainTurned,
  },
  {
    id: 'probe-set-of-another-release',
    title: "the node's rule looks into a set with the name that later releases use",
    seed: {
      kind: 'commands',
      where: 'nodes',
      do: [
        ['ipset', 'create', 'istio-inpod-probes-v4', 'hash:ip', 'comment'],
        ['iptables', '-t', 'nat', '-R', 'ISTIO_POSTRT', '1', ...probeRule('istio-inpod-probes-v4').split(' ')],
      ],
      undo: [
        ['iptables', '-t', 'nat', '-R', 'ISTIO_POSTRT', '1', ...probeRule('istio-inpod-probes').split(' ')],
        ['ipset', 'destroy', 'istio-inpod-probes-v4'],
      ],
    },
    cases: [probe],
    breaks: { case: probe, hop: 'node-app/is-given-the-probe-address' },
  },
  {
    id: 'listeners-not-transparent',
    title: "ztunnel's listeners are not transparent: the kernel gives them nothing",
    seed: patched(edit('inpod-placement.ts', "setTransparent(fd, familyOf(address.address), transparent === 'required')", '{}')),
    cases: [sealed],
    breaks: hboneGiven,
  },
  {
    id: 'questions-asked-from-the-pod',
    title: 'ztunnel asks the name server from the pod, as later releases do: the rule for questions turns its own back to it',
    seed: patched(
      edit('release.ts', 'dnsSockets: () => ownSockets,\n    sharedProxy: false', 'dnsSockets: (pod) => pod,\n    sharedProxy: false'),
      // Round and round, until so many are under way: a thousand are more than a busy machine's captures take.
      edit('dns/forward.ts', 'const maxUnderWay = 1_000', 'const maxUnderWay = 4'),
    ),
    cases: [question('other-name')],
    breaks: { case: question('other-name'), hop: 'ztunnel-dns/leaves-the-pod' },
  },
]
