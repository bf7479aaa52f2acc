import type { CommandSeed, Edit, Fault, PatchSeed } from '../fault.ts'

// Rule texts: facts inpod-mode 1.2, golden pod-iptables-save and node-host-rules-ipset. Positions are those of the golden, counted from 1.
const sealed = 'mesh-to-mesh/other-node/pod-ip/http'
const passed = 'mesh-to-plain/other-node/cluster-ip/http'
const entered = 'plain-to-mesh/same-node/pod-ip/http'
const probe = 'probe/same-node/pod-ip/http'
const denied = 'mesh-to-mesh/other-node/pod-ip/http/denied'

/** Takes a rule out of its chain in every enrolled pod and puts it back at its place. */
function dropped(table: string, chain: string, position: number, rule: string): CommandSeed {
  const words = rule.split(' ')
  return {
    kind: 'commands',
    where: 'enrolled pods',
    do: [['iptables', '-t', table, '-D', chain, ...words]],
    undo: [['iptables', '-t', table, '-I', chain, `${position}`, ...words]],
  }
}

/** Puts another rule in the place of one. */
function replaced(table: string, chain: string, position: number, rule: string, other: string): CommandSeed {
  const put = (text: string) => ['iptables', '-t', table, '-R', chain, `${position}`, ...text.split(' ')]
  return { kind: 'commands', where: 'enrolled pods', do: [put(other)], undo: [put(rule)] }
}

const patched = (...edits: readonly Edit[]): PatchSeed => ({ kind: 'patch', image: 'ztunnel', edits })
const edit = (file: string, find: string, replace: string): Edit => ({ file: `ztunnel/${file}`, find, replace })

const redirectOut = '! -d 127.0.0.1/32 -p tcp -m mark ! --mark 0x539/0xfff -j REDIRECT --to-ports 15001'
const redirectIn = '! -d 127.0.0.1/32 -p tcp -m tcp ! --dport 15008 -m mark ! --mark 0x539/0xfff -j REDIRECT --to-ports 15006'
const markConnection = '-m mark --mark 0x539/0xfff -j CONNMARK --set-xmark 0x111/0xfff'
const restoreMark = '-m connmark --mark 0x111/0xfff -j CONNMARK --restore-mark --nfmask 0xffffffff --ctmask 0xffffffff'
const probeRule = '-p tcp -m owner --socket-exists -m set --match-set istio-inpod-probes-v4 dst -j SNAT --to-source 169.254.7.127'

export const faults: readonly Fault[] = [
  {
    id: 'outbound-redirect-dropped',
    title: 'the rule that turns outbound connections to ztunnel is gone',
    seed: dropped('nat', 'ISTIO_OUTPUT', 6, redirectOut),
    cases: [sealed],
    breaks: { case: sealed, hop: 'app-ztunnel/is-turned-around' },
  },
  {
    id: 'outbound-redirect-to-wrong-port',
    title: 'outbound connections are turned to a port where nobody listens',
    seed: replaced('nat', 'ISTIO_OUTPUT', 6, redirectOut, redirectOut.replace('15001', '15002')),
    cases: [passed],
    breaks: { case: passed, hop: 'app-ztunnel/is-turned-around' },
  },
  {
    id: 'outbound-jump-dropped',
    title: 'nat OUTPUT no longer jumps to the mesh',
    seed: dropped('nat', 'OUTPUT', 1, '-j ISTIO_OUTPUT'),
    cases: [passed],
    breaks: { case: passed, hop: 'app-ztunnel/is-turned-around' },
  },
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
    id: 'own-traffic-not-spared',
    title: 'the rule that spares connections over lo to the pod itself is gone',
    seed: dropped('nat', 'ISTIO_OUTPUT', 5, '! -d 127.0.0.1/32 -o lo -j ACCEPT'),
    cases: [entered],
    breaks: { case: entered, hop: 'ztunnel-app/leaves-with-the-client-s-address' },
  },
  {
    id: 'connection-not-marked',
    title: "the rule that marks ztunnel's connections is gone",
    seed: dropped('mangle', 'ISTIO_PRERT', 1, markConnection),
    cases: [entered],
    breaks: { case: entered, hop: 'ztunnel-app/marks-its-connection' },
  },
  {
    id: 'connection-marked-wrongly',
    title: "ztunnel's connections get another mark",
    seed: replaced('mangle', 'ISTIO_PRERT', 1, markConnection, markConnection.replace('0x111/0xfff', '0x112/0xfff')),
    cases: [entered],
    breaks: { case: entered, hop: 'ztunnel-app/marks-its-connection' },
  },
  {
    id: 'mark-not-restored',
    title: 'answers do not get the mark of their connection',
    seed: dropped('mangle', 'ISTIO_OUTPUT', 1, restoreMark),
    cases: [entered],
    breaks: { case: entered, hop: 'ztunnel-app/is-answered-by-way-of-lo' },
  },
  {
    id: 'policy-rule-missing',
    title: 'there is no policy rule for the mark',
    seed: {
      kind: 'commands',
      where: 'enrolled pods',
      do: [['ip', 'rule', 'del', 'fwmark', '0x111/0xfff', 'pref', '32764', 'lookup', '100']],
      undo: [['ip', 'rule', 'add', 'fwmark', '0x111/0xfff', 'pref', '32764', 'lookup', '100']],
    },
    cases: [entered],
    breaks: { case: entered, hop: 'ztunnel-app/is-answered-by-way-of-lo' },
  },
  {
    id: 'local-route-missing',
    title: 'table 100 has no local route',
    seed: {
      kind: 'commands',
      where: 'enrolled pods',
      do: [['ip', 'route', 'flush', 'table', '100']],
      undo: [['ip', 'route', 'replace', 'local', '0.0.0.0/0', 'dev', 'lo', 'table', '100']],
    },
    cases: [entered],
    breaks: { case: entered, hop: 'ztunnel-app/is-answered-by-way-of-lo' },
  },
  {
    id: 'probe-source-not-rewritten',
    title: "the node does not rewrite its probes' source",
    seed: {
      kind: 'commands',
      where: 'nodes',
      do: [['iptables', '-t', 'nat', '-D', 'ISTIO_POSTRT', ...probeRule.split(' ')]],
      undo: [['iptables', '-t', 'nat', '-A', 'ISTIO_POSTRT', ...probeRule.split(' ')]],
    },
    cases: [probe],
    breaks: { case: probe, hop: 'node-app/is-given-the-probe-address' },
  },
  {
    id: 'probe-set-lost-its-entries',
    title: "the node's set of enrolled pods is empty",
    seed: {
      kind: 'commands',
      where: 'nodes',
      do: [['ipset', 'flush', 'istio-inpod-probes-v4']],
      undo: [['ipset', 'add', 'istio-inpod-probes-v4', '$ip', 'comment', '$uid']],
    },
    cases: [probe],
    breaks: { case: probe, hop: 'node-app/is-given-the-probe-address' },
  },
  {
    id: 'probe-not-let-through',
    title: 'the pod turns probes to ztunnel like anybody else',
    seed: dropped('nat', 'ISTIO_PRERT', 1, '-s 169.254.7.127/32 -p tcp -m tcp -j ACCEPT'),
    cases: [probe],
    breaks: { case: probe, hop: 'node-app/passes-by-ztunnel' },
  },
  {
    id: 'plaintext-instead-of-hbone',
    title: 'ztunnel dials servers of the mesh in clear',
    seed: patched(
      edit('outbound.ts', "if (chosen.kind === 'hbone') {", "if (chosen.kind === 'hbone' && !chosen.authority) {"),
      edit(
        'outbound.ts',
        '} else far = await dial(context, chosen.to)',
        "} else far = await dial(context, chosen.kind === 'hbone' ? target : chosen.to)",
      ),
    ),
    cases: [sealed],
    breaks: { case: sealed, hop: 'ztunnel-ztunnel/leaves-ztunnel-uncaptured' },
  },
  {
    id: 'hbone-listener-missing',
    title: 'ztunnel does not listen on 15008',
    seed: patched(edit('proxy.ts', 'await proxy.#listen(ports.hbone, false, (socket) => proxy.#inbound(socket))', '')),
    cases: [sealed],
    breaks: { case: sealed, hop: 'ztunnel-ztunnel/enters-the-server-s-pod' },
  },
  {
    id: 'source-not-kept',
    title: "ztunnel dials the app from the pod's own address",
    seed: patched(
      edit('inpod-placement.ts', 'const keep = keepSource && source !== undefined && familyOf(source) === family', 'const keep = false'),
    ),
    cases: [entered],
    breaks: { case: entered, hop: 'ztunnel-app/leaves-with-the-client-s-address' },
  },
  {
    id: 'dialled-sockets-marked-wrongly',
    title: "ztunnel's own connections carry another mark, whose low bits still spare them",
    seed: patched(
      edit(
        'inpod-placement.ts',
        '        mark: config.packetMark,\n        options: keep',
        '        mark: config.packetMark | 0x1000,\n        options: keep',
      ),
    ),
    cases: [passed],
    breaks: { case: passed, hop: 'ztunnel-server/leaves-ztunnel-uncaptured' },
  },
  {
    id: 'wrong-identity-shown',
    title: "ztunnel speaks for one workload with another's certificate",
    seed: patched(
      edit(
        'outbound.ts',
        'await context.certificates.context(context.identity)',
        "await context.certificates.context({ ...context.identity, serviceAccount: 'stranger' })",
      ),
    ),
    cases: [sealed],
    breaks: { case: sealed, hop: 'ztunnel-ztunnel/is-terminated-with-both-identities' },
  },
  {
    id: 'wrong-identity-accepted',
    title: "a server shows another workload's certificate, and the client does not mind",
    seed: patched(
      edit(
        'inbound.ts',
        'await context.certificates.context(context.identity)',
        "await context.certificates.context({ ...context.identity, serviceAccount: 'stranger' })",
      ),
      {
        file: 'lib/mtls.ts',
        find: 'if (names.length === 1 && expected.includes(names[0]!)) return undefined',
        replace: 'if (names.length + expected.length > 0) return undefined',
      },
    ),
    cases: [sealed],
    breaks: { case: sealed, hop: 'ztunnel-ztunnel/is-told-by-the-client-side' },
  },
  {
    id: 'policy-ignored',
    title: 'ztunnel asks no policy',
    seed: patched(edit('ward.ts', '    if (!own) return undefined', '    if (own || !own) return undefined')),
    cases: [denied],
    breaks: { case: denied, hop: 'ztunnel-ztunnel/is-refused-by-policy' },
  },
]
