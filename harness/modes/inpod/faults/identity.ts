import type { Fault } from '../../fault.ts'
import { allowed, denied, direct, forged, impostor, revoked, sealed, strictMesh, strictPlain } from './cases.ts'
import { edit, patched, sharedEdit } from './seeds.ts'

/** The account of a pod beside it: the CA signs for those of the same node only. */
const neighbour = "(await ownIdentity(context)).serviceAccount.replace(/[ab]$/, (last) => (last === 'a' ? 'b' : 'a'))"

/** Who is who, and what they may. */
export const identityFaults: readonly Fault[] = [
  {
    id: 'wrong-identity-shown',
    title: "ztunnel speaks for one workload with another's certificate",
    seed: patched(
      edit(
        'outbound.ts',
        'await context.certificates.context(await ownIdentity(context))',
        `await context.certificates.context({ ...(await ownIdentity(context)), serviceAccount: ${neighbour} })`,
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
        'await context.certificates.context(await ownIdentity(context))',
        `await context.certificates.context({ ...(await ownIdentity(context)), serviceAccount: ${neighbour} })`,
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
    seed: patched(edit('ward.ts', 'return own && ask(context, own, connection)', 'return own && undefined')),
    cases: [denied],
    breaks: { case: denied, hop: 'ztunnel-ztunnel/is-refused-by-policy' },
  },
  {
    id: 'refused-with-another-status',
    title: 'what policy refuses is answered 403',
    seed: patched(edit('inbound.ts', 'return fail(401, ', 'return fail(403, ')),
    cases: [denied, forged('disallowed')],
    breaks: { case: forged('disallowed'), hop: 'case/outcome' },
  },
  {
    id: 'allow-admits-everybody',
    title: 'an ALLOW policy admits also whom it does not name',
    seed: patched(edit('rbac.ts', 'if (allows.length === 0 ||', 'if (allows.length >= 0 ||')),
    cases: [forged('disallowed')],
    breaks: { case: forged('disallowed'), hop: 'forged-ztunnel/is-refused-by-policy' },
  },
  {
    id: 'principal-compared-with-its-scheme',
    title: 'policies compare principals with `spiffe://` in front',
    seed: patched(edit('rbac.ts', 'matchesText(pattern, principal(identity))', "matchesText(pattern, 'spiffe://' + principal(identity))")),
    cases: [allowed],
    breaks: { case: allowed, hop: 'ztunnel-app/leaves-with-the-client-s-address' },
  },
  {
    id: 'plaintext-past-policy',
    title: 'policies are not asked about plaintext',
    seed: patched(edit('plaintext.ts', 'if (denial !== undefined) return', "if (denial === '') return")),
    cases: [strictPlain],
    breaks: { case: strictPlain, hop: 'client-ztunnel/is-refused-by-policy' },
  },
  {
    id: 'refused-and-left-hanging',
    title: 'a connection that policy refuses is not closed',
    seed: patched(edit('plaintext.ts', 'report.end(error, flag)\n    far.destroy()', 'report.end(error, flag)')),
    cases: [strictPlain],
    breaks: { case: strictPlain, hop: 'client-ztunnel/is-refused-by-policy' },
  },
  {
    id: 'mesh-clients-without-identity',
    title: 'policies do not learn who an HBONE peer is',
    seed: patched(edit('inbound.ts', '{ identity: peer, sourceIp', '{ identity: undefined, sourceIp')),
    cases: [strictMesh],
    breaks: { case: strictMesh, hop: 'ztunnel-app/leaves-with-the-client-s-address' },
  },
  {
    id: 'plaintext-calls-itself',
    title: 'ztunnel does not mind to be called by way of its plaintext listener',
    seed: patched(edit('plaintext.ts', '  if (illegalPorts.includes(target.port)) return refuse(selfCall)\n', '')),
    // Not 15006: it would call itself for ever.
    cases: [direct('plain-15001')],
    breaks: { case: direct('plain-15001'), hop: 'client-ztunnel/is-refused-as-a-call-to-itself' },
  },
  {
    id: 'tunnels-call-itself',
    title: 'ztunnel does not mind to be called through a tunnel',
    seed: patched(
      edit('target.ts', "  if (illegalPorts.includes(port)) return { status: 503, error: 'attempted recursive call to ourselves' }\n", ''),
    ),
    cases: [direct('mesh-15001')],
    breaks: { case: direct('mesh-15001'), hop: 'ztunnel-ztunnel/is-refused-as-a-call-to-itself' },
  },
  {
    id: 'own-port-called-through-a-tunnel',
    title: 'ztunnel does not mind to be called by the app of its own pod',
    seed: patched(
      edit('route.ts', '  if (!illegalPorts.includes(target.port)) return false\n', '  if (illegalPorts.length > 0) return false\n'),
    ),
    cases: [direct('own-15001', 'same-node')],
    breaks: { case: direct('own-15001', 'same-node'), hop: 'app-own-port/is-refused-as-a-call-to-itself' },
  },
  {
    id: 'foreign-ca-accepted',
    title: 'a server takes certificates of any CA',
    seed: patched(sharedEdit('mtls.ts', '    if (failure) throw', '    if (failure && failure.code === undefined) throw')),
    cases: [forged('foreign-ca')],
    breaks: { case: forged('foreign-ca'), hop: 'forged-ztunnel/is-refused-in-the-handshake' },
  },
  {
    id: 'foreign-trust-domain-accepted',
    title: 'a server takes identities of any trust domain',
    seed: patched(sharedEdit('mtls.ts', '    if (peer.trustDomain !== trustDomain)', "    if (peer.trustDomain === '')")),
    cases: [forged('foreign-trust-domain')],
    breaks: { case: forged('foreign-trust-domain'), hop: 'forged-ztunnel/is-refused-in-the-handshake' },
  },
  {
    id: 'authority-of-others-accepted',
    title: 'a server takes a CONNECT that asks for another pod',
    seed: patched(edit('target.ts', 'if (asked.address !== arrivedAt && !', 'if (asked.address === undefined && !')),
    cases: [forged('other-authority')],
    breaks: { case: forged('other-authority'), hop: 'forged-ztunnel/is-refused-as-another-pod-s' },
  },
  {
    id: 'impostor-accepted',
    title: "a client does not look at the server's identity",
    seed: patched(
      sharedEdit(
        'mtls.ts',
        'if (names.length === 1 && expected.includes(names[0]!)) return undefined',
        'if (names.length + expected.length > 0) return undefined',
      ),
    ),
    cases: [impostor],
    breaks: { case: impostor, hop: 'ztunnel-impostor/is-given-up-by-the-client-side' },
  },
  {
    id: 'live-connections-kept',
    title: 'a policy that comes does not touch the connections that are there',
    seed: patched(edit('connections.ts', 'if (connection.recheck?.() !== undefined)', "if (connection.recheck?.() === '')")),
    cases: [revoked],
    breaks: { case: revoked, hop: 'ztunnel-ztunnel/is-cut-off-by-policy' },
  },
]
