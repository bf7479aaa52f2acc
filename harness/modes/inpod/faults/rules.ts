import type { Fault } from '../../fault.ts'
import { entered, passed, probe, sealed } from './cases.ts'
import { dropped, replaced } from './seeds.ts'

// Texts: facts inpod-mode 1.1 and 1.2, which have these rules in common.
const redirectOut = '! -d 127.0.0.1/32 -p tcp -m mark ! --mark 0x539/0xfff -j REDIRECT --to-ports 15001'
const markConnection = '-m mark --mark 0x539/0xfff -j CONNMARK --set-xmark 0x111/0xfff'
const restoreMark = '-m connmark --mark 0x111/0xfff -j CONNMARK --restore-mark --nfmask 0xffffffff --ctmask 0xffffffff'
const masks = '--nfmask 0xffffffff --ctmask 0xffffffff'

/** Where the common rules stand in nat ISTIO_OUTPUT, counted from 1. */
export interface Positions {
  readonly answers: number
  readonly overLo: number
  readonly redirect: number
}

/** Rules and routes in the pods that all releases have. */
export const ruleFaults = (at: Positions): readonly Fault[] => [
  {
    id: 'outbound-redirect-dropped',
    title: 'the rule that turns outbound connections to ztunnel is gone',
    seed: dropped('nat', 'ISTIO_OUTPUT', at.redirect, redirectOut),
    cases: [sealed],
    breaks: { case: sealed, hop: 'app-ztunnel/is-turned-around' },
  },
  {
    id: 'outbound-redirect-to-wrong-port',
    title: 'outbound connections are turned to a port where nobody listens',
    seed: replaced('nat', 'ISTIO_OUTPUT', at.redirect, redirectOut, redirectOut.replace('15001', '15002')),
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
    id: 'own-traffic-not-spared',
    title: 'the rule that spares connections over lo to the pod itself is gone',
    seed: dropped('nat', 'ISTIO_OUTPUT', at.overLo, '! -d 127.0.0.1/32 -o lo -j ACCEPT'),
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
    id: 'connection-mark-without-mask',
    title: "the mark of ztunnel's connections wipes out the bits that are somebody else's",
    seed: replaced('mangle', 'ISTIO_PRERT', 1, markConnection, markConnection.replace('0x111/0xfff', '0x111/0xffffffff')),
    cases: [entered],
    breaks: { case: entered, hop: 'ztunnel-app/marks-its-connection' },
  },
  {
    id: 'mark-restored-in-part',
    title: 'answers get only the low bits of the mark of their connection',
    seed: replaced('mangle', 'ISTIO_OUTPUT', 1, restoreMark, restoreMark.replace(masks, '--nfmask 0xf --ctmask 0xf')),
    cases: [entered],
    breaks: { case: entered, hop: 'ztunnel-app/is-answered-by-way-of-lo' },
  },
  {
    id: 'policy-rule-to-another-table',
    title: 'the policy rule looks into a table that has no route',
    seed: {
      kind: 'commands',
      where: 'enrolled pods',
      do: [
        ['ip', 'rule', 'add', 'fwmark', '0x111/0xfff', 'pref', '32764', 'lookup', '101'],
        ['ip', 'rule', 'del', 'fwmark', '0x111/0xfff', 'pref', '32764', 'lookup', '100'],
      ],
      undo: [
        ['ip', 'rule', 'add', 'fwmark', '0x111/0xfff', 'pref', '32764', 'lookup', '100'],
        ['ip', 'rule', 'del', 'fwmark', '0x111/0xfff', 'pref', '32764', 'lookup', '101'],
      ],
    },
    cases: [entered],
    breaks: { case: entered, hop: 'ztunnel-app/is-answered-by-way-of-lo' },
  },
  {
    id: 'answers-not-spared',
    title: 'the rule that spares marked answers is gone',
    seed: dropped('nat', 'ISTIO_OUTPUT', at.answers, '-p tcp -m mark --mark 0x111/0xfff -j ACCEPT'),
    cases: [entered, probe],
    breaks: { case: entered, hop: 'ztunnel-app/is-answered-by-way-of-lo' },
    equivalent: 'translation asks its rules about the first packet of a connection only, and none of these has the mark then',
  },
]
