import type { Fault } from '../../fault.ts'
import { datagram, direct, headless, http2, itself, overTcp, question } from './cases.ts'
import { added, dropped, edit, patched, replaced } from './seeds.ts'

// Texts: facts inpod-mode 1.2, golden pod-iptables-save. Positions are counted from 1.
export const redirectUdp = '! -o lo -p udp -m mark ! --mark 0x539/0xfff -m udp --dport 53 -j REDIRECT --to-ports 15053'
const redirectTcp = '! -d 127.0.0.1/32 -p tcp -m tcp --dport 53 -m mark ! --mark 0x539/0xfff -j REDIRECT --to-ports 15053'
const acceptLoopback = '! -d 127.0.0.1/32 -o lo -j ACCEPT'
const uncaptured = question('uncaptured')

/** The rule for questions of a release, second in nat ISTIO_OUTPUT, and where the rule stands there that spares connections over lo. */
export interface ProtocolRules {
  readonly redirectUdp: string
  readonly overLo: number
  /** Where it is told first that a name of the mesh was asked for elsewhere: ztunnel's log says so, where it has one of questions. */
  readonly askedElsewhere: string
}

/** Names, datagrams, streams, and pods that call themselves. */
export const protocolFaults = ({ redirectUdp, overLo, askedElsewhere }: ProtocolRules): readonly Fault[] => [
  {
    id: 'questions-not-captured',
    title: 'the rule that turns questions for names to ztunnel is gone',
    seed: dropped('nat', 'ISTIO_OUTPUT', 2, redirectUdp),
    cases: [question('mesh-name'), headless],
    breaks: { case: question('mesh-name'), hop: 'app-dns/is-turned-around' },
  },
  {
    id: 'names-of-the-mesh-asked-elsewhere',
    title: 'ztunnel asks the name server for what it should know itself',
    seed: patched(edit('dns/server.ts', 'if (known) {', 'if (known && packet.length === 0) {')),
    cases: [question('mesh-name')],
    breaks: { case: question('mesh-name'), hop: askedElsewhere },
  },
  {
    id: 'names-answered-wrongly',
    title: 'ztunnel answers with an address of nobody',
    seed: patched(edit('dns/server.ts', 'of shuffled(known.addresses))', "of shuffled(known.addresses).map(() => '192.0.2.1'))")),
    cases: [question('mesh-name')],
    breaks: { case: question('mesh-name'), hop: 'case/outcome' },
  },
  {
    id: 'datagrams-captured-on-their-way-out',
    title: 'a rule turns datagrams of the app around',
    seed: added('nat', 'ISTIO_OUTPUT', 1, '-p udp -m udp --dport 9001 -j REDIRECT --to-ports 15001'),
    cases: [datagram],
    breaks: { case: datagram, hop: 'client-server/leaves-the-app-uncaptured' },
  },
  {
    id: 'one-end-ends-both',
    title: 'when one side ends, ztunnel ends the other too',
    seed: patched(edit('relay.ts', '      to.end()\n', '      to.end()\n      from.end()\n')),
    cases: [overTcp('client-half-close'), overTcp('server-half-close')],
    breaks: { case: overTcp('client-half-close'), hop: 'app-ztunnel/carries-the-request' },
  },
  {
    id: 'client-must-speak-first',
    title: 'ztunnel waits for the client to speak before it calls the server',
    seed: patched(
      edit(
        'outbound.ts',
        '  let far: ',
        "  await new Promise<void>((resolve) => void socket.once('readable', () => resolve()))\n  let far: ",
      ),
    ),
    cases: [overTcp('server-first')],
    breaks: { case: overTcp('server-first'), hop: 'app-ztunnel/carries-the-request' },
  },
  {
    id: 'tunnel-ends-with-the-server',
    title: 'when the server has ended its side, ztunnel carries nothing more to it',
    seed: patched(edit('relay.ts', '      to.end()\n', "      to.end()\n      if ('resetCode' in from) from.end()\n")),
    cases: [overTcp('server-half-close')],
    breaks: { case: overTcp('server-half-close'), hop: 'ztunnel-app/keeps-the-order-of-the-exchange' },
  },
  {
    id: 'bytes-altered-on-their-way',
    title: 'ztunnel alters a byte of every long piece',
    seed: patched(
      edit('relay.ts', '      count(chunk.length)\n', '      if (chunk.length > 20_000) chunk[10_000] = 0\n      count(chunk.length)\n'),
    ),
    cases: [overTcp('bulk')],
    breaks: { case: overTcp('bulk'), hop: 'case/bytes' },
  },
  {
    id: 'byte-added-at-the-end',
    title: 'ztunnel adds a byte to what it carries',
    seed: patched(edit('relay.ts', '      to.end()\n', "      to.write(Buffer.from('x'))\n      to.end()\n")),
    cases: [overTcp('bulk')],
    breaks: { case: overTcp('bulk'), hop: 'app-ztunnel/carries-every-byte' },
  },
  {
    id: 'http2-not-carried',
    title: 'ztunnel closes connections that begin as HTTP/2',
    seed: patched(
      edit(
        'relay.ts',
        '      count(chunk.length)\n',
        "      if (chunk.toString('latin1', 0, 4) === 'PRI ') return fail('io error: no HTTP/2')\n      count(chunk.length)\n",
      ),
    ),
    cases: [http2],
    breaks: { case: http2, hop: 'ztunnel-app/carries-the-request' },
  },
  {
    id: 'itself-called-in-clear',
    title: 'ztunnel needs no tunnel to its own pod',
    seed: patched(
      edit('route.ts', "if (workload.protocol === 'TCP') return", "if (workload.protocol === 'TCP' || workload.uid === source.uid) return"),
    ),
    cases: [itself('cluster-ip')],
    breaks: { case: itself('cluster-ip'), hop: 'ztunnel-ztunnel/leaves-ztunnel-over-lo' },
  },
  {
    id: 'own-address-captured',
    title: "only ztunnel's own connections over lo are spared, not the app's",
    seed: replaced('nat', 'ISTIO_OUTPUT', overLo, acceptLoopback, '! -d 127.0.0.1/32 -o lo -m mark --mark 0x539/0xfff -j ACCEPT'),
    cases: [itself('pod-ip'), direct('own-15006', 'same-node'), direct('own-15008', 'same-node')],
    breaks: { case: itself('pod-ip'), hop: 'app-app/is-left-alone' },
  },
]

/** Of release `today` only: questions over TCP, a zone of their own for ztunnel's, pods that opt out, and a chain of nat for what comes in. */
export const laterProtocolFaults: readonly Fault[] = [
  {
    id: 'questions-over-tcp-not-captured',
    title: 'the rule that turns questions over TCP to ztunnel is gone',
    seed: dropped('nat', 'ISTIO_OUTPUT', 3, redirectTcp),
    cases: [question('mesh-name-tcp')],
    breaks: { case: question('mesh-name-tcp'), hop: 'app-dns/is-turned-around' },
  },
  {
    id: 'questions-over-tcp-asked-from-home',
    title: 'ztunnel asks the name server from its own namespace, as earlier releases did, and not from the pod',
    seed: patched(edit('release.ts', 'dnsSockets: (pod) => pod,', 'dnsSockets: () => ownSockets,')),
    cases: [question('other-name-tcp')],
    breaks: { case: question('other-name-tcp'), hop: 'ztunnel-dns/leaves-ztunnel-uncaptured' },
  },
  {
    id: 'questions-told-wrongly',
    title: 'ztunnel tells of a question that it answered itself that it passed it on',
    seed: patched(edit('dns/server.ts', "? 'success' : 'no records'", "? 'forwarded' : 'no records'")),
    cases: [question('mesh-name'), question('mesh-name-tcp'), headless],
    breaks: { case: question('mesh-name'), hop: 'app-dns/is-answered-by-ztunnel' },
  },
  {
    id: 'opt-out-of-dns-capture-ignored',
    title: 'questions of a pod that opted out are turned to ztunnel',
    seed: added('nat', 'ISTIO_OUTPUT', 2, redirectUdp, 'pods without DNS capture'),
    cases: [uncaptured],
    breaks: { case: uncaptured, hop: 'app-dns/leaves-the-app-uncaptured' },
  },
  {
    id: 'questions-of-ztunnel-in-no-zone',
    title: "ztunnel's own questions are tracked with the app's",
    seed: dropped('raw', 'ISTIO_OUTPUT', 1, '-p udp -m mark --mark 0x539/0xfff -m udp --dport 53 -j CT --zone 1'),
    cases: [question('other-name')],
    breaks: { case: question('other-name'), hop: 'ztunnel-dns/leaves-in-a-zone-of-its-own' },
  },
  {
    id: 'answers-for-ztunnel-in-no-zone',
    title: "the answers to ztunnel's own questions are looked for with the app's",
    seed: dropped('raw', 'ISTIO_PRERT', 1, '-p udp -m mark ! --mark 0x539/0xfff -m udp --sport 53 -j CT --zone 1'),
    cases: [question('other-name')],
    breaks: { case: question('other-name'), hop: 'ztunnel-dns/is-found-again-in-its-zone' },
  },
  {
    id: 'datagrams-captured-on-their-way-in',
    title: 'a rule turns datagrams for the app around',
    seed: added('nat', 'ISTIO_PRERT', 1, '-p udp -m udp --dport 9001 -j REDIRECT --to-ports 15006'),
    cases: [datagram],
    breaks: { case: datagram, hop: 'client-server/comes-to-the-app-uncaptured' },
  },
]
