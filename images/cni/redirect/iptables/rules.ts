import { filter, mangle, nat, type Rule, when } from '../netfilter/rule.ts'
import { dnsPort, hbonePort, inboundPort, mark, outboundPort, podSet, proxyMark, tunnels } from './constants.ts'

/** The chains of the mode on the node, by table. */
const chains = {
  mangle: ['PREROUTING', 'INPUT', 'FORWARD', 'OUTPUT', 'POSTROUTING'],
  nat: ['PREROUTING', 'POSTROUTING'],
  filter: ['FORWARD'],
} as const

const own = (hook: string) => `ztunnel-${hook}`
const prerouting = own('PREROUTING')
const forward = own('FORWARD')

/** Chains that the mode may own on the node. */
export const isNodeChain = (chain: string) => chain.startsWith('ztunnel-')

/** What the node's rules name. */
export interface NodeRuleOptions {
  /** The node's end of the proxy's veth pair. */
  readonly proxyDevice: string
  /** The proxy's IPv4 address. */
  readonly proxyAddress: string
  /** The node's address in its own pod network: source of its probes. */
  readonly hostAddress: string
  /** UDP port of the tunnels. */
  readonly genevePort: number
  /** DNS queries of enrolled pods go to the proxy. */
  readonly dnsCapture: boolean
}

const set = (bits: string) => `-j MARK --set-xmark ${bits}`
const marked = (bits: string) => `-m mark --mark ${bits}`
const save = (bits: string) => `${marked(bits)} -j CONNMARK --save-mark --nfmask ${bits.split('/')[0]} --ctmask ${bits.split('/')[0]}`

/** Rules on the node, IPv4, in the order of each chain; each chain is the first in its hook. Release 1.20. */
export function nodeRules(options: NodeRuleOptions): Rule[] {
  const { proxyDevice, proxyAddress, hostAddress } = options
  const { inbound, outbound } = tunnels
  return [
    ...(Object.keys(chains) as (keyof typeof chains)[]).flatMap((table) =>
      chains[table].map((hook): Rule => ({ table, chain: hook, spec: `-j ${own(hook)}`, position: 1 })),
    ),
    // What comes out of a tunnel is the proxy's answer to ARP and its like.
    mangle(prerouting, `-i ${inbound.node} ${set(mark.skip)}`),
    mangle(prerouting, `-i ${inbound.node} -j RETURN`),
    mangle(prerouting, `-i ${outbound.node} ${set(mark.skip)}`),
    mangle(prerouting, `-i ${outbound.node} -j RETURN`),
    mangle(prerouting, `-p udp -m udp --dport ${options.genevePort} -j RETURN`),
    mangle(prerouting, `-m connmark --mark ${mark.passed} ${set(mark.skip)}`),
    mangle(prerouting, `${marked(mark.skip)} -j RETURN`),
    // A connection with the proxy at one end: whatever does not come from there goes there.
    mangle(prerouting, `! -i ${proxyDevice} -m connmark --mark ${mark.fromProxy} ${set(mark.toProxy)}`),
    mangle(prerouting, `${marked(mark.toProxy)} -j RETURN`),
    mangle(prerouting, `! -s ${proxyAddress}/32 -i ${proxyDevice} ${set(mark.fromProxy)}`),
    mangle(prerouting, `${marked(mark.skip)} -j RETURN`),
    mangle(prerouting, `-i ${proxyDevice} ${set(mark.passed)}`),
    mangle(prerouting, `-p udp ${set(mark.passed)}`),
    mangle(prerouting, `${marked(mark.skip)} -j RETURN`),
    mangle(prerouting, `-p tcp -m set --match-set ${podSet} src ${set(mark.outbound)}`),
    mangle(own('INPUT'), save(mark.passed)),
    mangle(own('INPUT'), save(mark.fromProxy)),
    mangle(forward, save(mark.passed)),
    mangle(forward, save(mark.fromProxy)),
    // The node's own probes; a bare value is the whole mark.
    mangle(
      own('OUTPUT'),
      `-s ${hostAddress}/32 -p tcp -m owner --socket-exists -m set --match-set ${podSet} dst -j MARK --set-xmark 0x220/0xffffffff`,
    ),
    // The proxy chooses the endpoint: no translation by kube-proxy, and none of its refusals.
    nat(prerouting, `${marked(mark.outbound)} -j ACCEPT`),
    ...when(
      options.dnsCapture,
      nat(prerouting, `-p udp -m set --match-set ${podSet} src -m udp --dport 53 -j DNAT --to-destination ${proxyAddress}:${dnsPort}`),
    ),
    nat(own('POSTROUTING'), `${marked(mark.outbound)} -j ACCEPT`),
    filter(forward, `${marked(mark.outbound)} -j ACCEPT`),
  ]
}

/** Rules in the proxy's namespace, all in mangle PREROUTING, which is the mode's alone there. @param device its own end of the veth pair */
export function proxyRules(proxyAddress: string, device: string): string[] {
  const turn = (tunnel: string, match: string, port: number) =>
    `-i ${tunnel} -p tcp ${match}-j TPROXY --on-port ${port} --on-ip 127.0.0.1 --tproxy-mark ${proxyMark.captured}`
  return [
    turn(tunnels.inbound.proxy, `-m tcp --dport ${hbonePort} `, hbonePort),
    turn(tunnels.outbound.proxy, '', outboundPort),
    turn(tunnels.inbound.proxy, '', inboundPort),
    `! -d ${proxyAddress}/32 -i ${device} -p tcp ${set(proxyMark.answered)}`,
  ]
}
