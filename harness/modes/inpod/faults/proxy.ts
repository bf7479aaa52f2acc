import type { Fault } from '../../fault.ts'
import { byService, clientEndsFirst, entered, passed, pooled, sealed, sealedTcp } from './cases.ts'
import { edit, patched, sharedEdit } from './seeds.ts'

/** ztunnel's sockets, tunnels and log. */
export const proxyFaults: readonly Fault[] = [
  {
    id: 'plaintext-instead-of-hbone',
    title: 'ztunnel dials servers of the mesh in clear',
    seed: patched(
      edit('outbound.ts', "if (chosen.kind === 'hbone') {", "if (chosen.kind === 'hbone' && !chosen.authority) {"),
      edit(
        'outbound.ts',
        '} else far = new SocketEnd(await dial(context, chosen.to))',
        "} else far = new SocketEnd(await dial(context, chosen.kind === 'hbone' ? target : chosen.to))",
      ),
    ),
    cases: [sealed],
    breaks: { case: sealed, hop: 'ztunnel-ztunnel/leaves-ztunnel-uncaptured' },
  },
  {
    id: 'hbone-listener-missing',
    title: 'ztunnel does not listen on 15008',
    seed: patched(edit('proxy.ts', 'await proxy.#listeners.open(ports.hbone, false, (socket) => serving.inbound(socket))', '')),
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
    id: 'listeners-unmarked',
    title: "ztunnel's listeners carry no mark",
    seed: patched(
      edit(
        'inpod-placement.ts',
        '    mark: config.packetMark,\n    reuseAddress',
        '    mark: type === lib.SOCK_STREAM ? 0 : config.packetMark,\n    reuseAddress',
      ),
    ),
    cases: [passed],
    breaks: { case: passed, hop: 'app-ztunnel/is-answered-by-ztunnel' },
  },
  {
    id: 'tunnel-not-reused',
    title: 'ztunnel opens a tunnel for each connection',
    seed: patched(
      edit('pool.ts', '      for (const client of entry.clients) if (this.#hasRoom(client)) return use(client)\n', ''),
      edit('pool.ts', 'if (!opened.usable) dead++', 'if (opened.usable) return use(opened)\n      dead++'),
    ),
    cases: [pooled],
    breaks: { case: pooled, hop: 'ztunnel-ztunnel/leaves-ztunnel-uncaptured' },
  },
  {
    id: 'tunnel-shared-between-servers',
    title: 'ztunnel reuses a tunnel without a look at whose it is',
    seed: patched(
      edit(
        'outbound.ts',
        "const key = [identity, [...chosen.identities].sort().join(','), from.address, formatAddress(chosen.to)].join('|')",
        "const key = [identity, from.address].join('|')",
      ),
    ),
    cases: [sealed, sealedTcp],
    breaks: { case: sealedTcp, hop: 'ztunnel-ztunnel/leaves-ztunnel-uncaptured' },
  },
  {
    id: 'pool-key-without-identity',
    title: 'ztunnel reuses a tunnel without a look at who speaks in it',
    seed: patched(
      edit(
        'outbound.ts',
        "const key = [identity, [...chosen.identities].sort().join(','), from.address, formatAddress(chosen.to)].join('|')",
        "const key = [[...chosen.identities].sort().join(','), from.address, formatAddress(chosen.to)].join('|')",
      ),
    ),
    cases: [sealed, pooled],
    breaks: { case: pooled, hop: 'ztunnel-ztunnel/leaves-ztunnel-uncaptured' },
    equivalent: 'each pod has a pool of its own, and one identity',
  },
  {
    id: 'authority-with-the-service-port',
    title: "ztunnel asks for the service's port instead of the pod's",
    seed: patched(
      edit('route.ts', 'authority: formatAddress({ address, port })', 'authority: formatAddress({ address, port: target.port })'),
    ),
    cases: [byService],
    breaks: { case: byService, hop: 'ztunnel-app/leaves-with-the-client-s-address' },
  },
  {
    id: 'identity-not-logged',
    title: 'the access log does not say who called',
    seed: patched(
      edit('access-log.ts', "'src.identity': r.sourceIdentity && formatIdentity(r.sourceIdentity)", "'src.identity': undefined"),
    ),
    cases: [sealed],
    breaks: { case: sealed, hop: 'ztunnel-ztunnel/is-terminated-with-both-identities' },
  },
  {
    id: 'hbone-without-tls',
    title: 'ztunnels speak HBONE in clear, and take the identities for granted',
    seed: patched(
      sharedEdit(
        'mtls.ts',
        '  endTogether(raw)\n  const socket = new tls.TLSSocket(raw, {',
        `  if (trustDomain) return Promise.resolve({ socket: raw as tls.TLSSocket, peer: { trustDomain, namespace: 'demo', serviceAccount: 'sleep-one-a' } })
  endTogether(raw)
  const socket = new tls.TLSSocket(raw, {`,
      ),
      sharedEdit(
        'mtls.ts',
        '  endTogether(raw)\n  const socket = tls.connect({',
        `  const [, trustDomain = '', namespace = '', serviceAccount = ''] = /^spiffe:..([^/]+).ns.([^/]+).sa.([^/]+)$/.exec(expected[0]!) ?? []
  if (trustDomain) return Promise.resolve({ socket: Object.assign(raw, { getPeerCertificate: () => ({ subjectaltname: 'URI:' + expected[0] }) }) as unknown as tls.TLSSocket, peer: { trustDomain, namespace, serviceAccount } })
  endTogether(raw)
  const socket = tls.connect({`,
      ),
    ),
    cases: [sealed],
    breaks: { case: sealed, hop: 'ztunnel-ztunnel/leaves-the-pod' },
  },
  {
    id: 'app-dialled-on-loopback',
    title: "ztunnel dials the app at 127.0.0.1, not at the pod's address",
    seed: patched(edit('inbound.ts', 'near = await dial(context, to,', "near = await dial(context, { ...to, address: '127.0.0.1' },")),
    cases: [sealed],
    breaks: { case: sealed, hop: 'ztunnel-app/leaves-with-the-client-s-address' },
  },
  {
    id: 'copies-in-clear',
    title: 'beside the tunnel, ztunnel sends a copy of the request past it',
    seed: patched(
      edit(
        'outbound.ts',
        "  const protocol = chosen.kind === 'hbone' ? 'HBONE' : 'TCP'\n",
        `  Object.assign(context, { copied: (first: Buffer) => void dial(context, { ...target, port: 9000 }).then((copy) => copy.end(first)).catch(() => {}) })
  const protocol = chosen.kind === 'hbone' ? 'HBONE' : 'TCP'
`,
      ),
      edit(
        'context.ts',
        '    const running = relay(near, far, report.traffic, (end) => {\n',
        `    const { write } = far
    if ('copied' in context)
      far.write = (bytes) => {
        ;(context.copied as (first: Buffer) => void)(Buffer.from(bytes))
        far.write = write
        return write.call(far, bytes)
      }
    const running = relay(near, far, report.traffic, (end) => {
`,
      ),
    ),
    cases: [sealed],
    breaks: { case: sealed, hop: 'case/sentinel' },
  },
  {
    id: 'knocks-in-clear',
    title: 'beside the tunnel, ztunnel looks whether the server can be reached without it',
    seed: patched(
      edit(
        'outbound.ts',
        "  const protocol = chosen.kind === 'hbone' ? 'HBONE' : 'TCP'\n",
        `  void dial(context, { ...target, port: 9000 }).then((knock) => knock.destroy()).catch(() => {})
  const protocol = chosen.kind === 'hbone' ? 'HBONE' : 'TCP'
`,
      ),
    ),
    cases: [sealed],
    breaks: { case: sealed, hop: 'case/closed-world' },
  },
  {
    id: 'tunnel-opened-beside-the-one-in-use',
    title: 'beside the tunnel that it has, ztunnel opens another that nobody uses',
    seed: patched(
      edit(
        'outbound.ts',
        "  const protocol = chosen.kind === 'hbone' ? 'HBONE' : 'TCP'\n",
        `  if (chosen.kind === 'hbone') void dial(context, chosen.to).then((idle) => idle.destroy()).catch(() => {})
  const protocol = chosen.kind === 'hbone' ? 'HBONE' : 'TCP'
`,
      ),
    ),
    cases: [pooled],
    breaks: { case: pooled, hop: 'case/reused' },
  },
  {
    id: 'end-turned-into-reset',
    title: 'where both sides have ended, ztunnel resets the connection instead of ending it',
    // Not at once: the kernel tells nothing of a socket that reset itself before somebody could ask for it.
    seed: patched(
      edit(
        'relay.ts',
        '      to.end()\n',
        `      const { socket } = to as unknown as { socket?: { readableEnded: boolean; resetAndDestroy(): void } }
      if (socket?.readableEnded) return void setTimeout(() => done(socket.resetAndDestroy() as undefined), 50)
      to.end()
`,
      ),
    ),
    cases: [clientEndsFirst],
    breaks: { case: clientEndsFirst, hop: 'app-ztunnel/keeps-the-order-of-the-exchange' },
  },
]
