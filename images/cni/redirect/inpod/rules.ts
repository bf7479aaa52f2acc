import {
  dnsPort,
  type Family,
  hbonePort,
  inboundPort,
  loopback,
  outboundPort,
  outputChain,
  postroutingChain,
  prefixLength,
  preroutingChain,
  probeSet,
  proxyMark,
  replyMark,
} from './constants.ts'

/** One iptables rule: where it stands, and its text as iptables-save prints it (without `-A CHAIN`). */
export interface Rule {
  readonly table: 'mangle' | 'nat' | 'raw'
  readonly chain: string
  readonly spec: string
  /** Position in a built-in chain, from 1; none: at its end. */
  readonly position?: number
}

export interface PodRuleOptions {
  readonly family: Family
  /** DNS queries go to the proxy, and the proxy's own get a conntrack zone of their own. */
  readonly dnsCapture: boolean
  /** Inbound plaintext is not captured (annotation ambient.istio.io/bypass-inbound-capture). */
  readonly bypassInbound: boolean
  /** Interfaces whose inbound traffic is a guest's outbound (istio.io/reroute-virtual-interfaces). */
  readonly rerouteInterfaces: readonly string[]
  /** Source of the node's probes. */
  readonly probeAddress: string
}

/** Rules inside an enrolled pod, one family, in the order of each chain: today's REDIRECT set (Istio since 1.24). */
export function podRules(options: PodRuleOptions): Rule[] {
  const { family, dnsCapture, bypassInbound, rerouteInterfaces } = options
  const local = loopback[family]
  const probes = `${options.probeAddress}/${prefixLength[family]}`
  const mangle = (chain: string, spec: string): Rule => ({ table: 'mangle', chain, spec })
  const nat = (chain: string, spec: string): Rule => ({ table: 'nat', chain, spec })
  const raw = (chain: string, spec: string): Rule => ({ table: 'raw', chain, spec })
  const only = (condition: boolean, ...rules: Rule[]) => (condition ? rules : [])
  return [
    mangle('PREROUTING', `-j ${preroutingChain}`),
    mangle('OUTPUT', `-j ${outputChain}`),
    mangle(outputChain, `-m connmark --mark ${replyMark} -j CONNMARK --restore-mark --nfmask 0xffffffff --ctmask 0xffffffff`),
    mangle(preroutingChain, `-m mark --mark ${proxyMark} -j CONNMARK --set-xmark ${replyMark}`),

    nat('PREROUTING', `-j ${preroutingChain}`),
    nat('OUTPUT', `-j ${outputChain}`),
    nat(outputChain, `-d ${probes} -p tcp -m tcp -j ACCEPT`),
    ...only(
      dnsCapture,
      nat(outputChain, `! -o lo -p udp -m mark ! --mark ${proxyMark} -m udp --dport 53 -j REDIRECT --to-ports ${dnsPort}`),
      nat(outputChain, `! -d ${local} -p tcp -m tcp --dport 53 -m mark ! --mark ${proxyMark} -j REDIRECT --to-ports ${dnsPort}`),
    ),
    nat(outputChain, `-p tcp -m mark --mark ${replyMark} -j ACCEPT`),
    nat(outputChain, `! -d ${local} -o lo -j ACCEPT`),
    nat(outputChain, `! -d ${local} -p tcp -m mark ! --mark ${proxyMark} -j REDIRECT --to-ports ${outboundPort}`),
    ...rerouteInterfaces.flatMap((name) => [
      nat(preroutingChain, `-i ${name} -p tcp -j REDIRECT --to-ports ${outboundPort}`),
      nat(preroutingChain, `-i ${name} -p tcp -j RETURN`),
    ]),
    ...only(
      !bypassInbound,
      nat(preroutingChain, `-s ${probes} -p tcp -m tcp -j ACCEPT`),
      nat(
        preroutingChain,
        `! -d ${local} -p tcp -m tcp ! --dport ${hbonePort} -m mark ! --mark ${proxyMark} -j REDIRECT --to-ports ${inboundPort}`,
      ),
    ),

    ...only(
      dnsCapture,
      raw('PREROUTING', `-j ${preroutingChain}`),
      raw('OUTPUT', `-j ${outputChain}`),
      raw(outputChain, `-p udp -m mark --mark ${proxyMark} -m udp --dport 53 -j CT --zone 1`),
      raw(preroutingChain, `-p udp -m mark ! --mark ${proxyMark} -m udp --sport 53 -j CT --zone 1`),
    ),
  ]
}

/** Rules on the node, one family: what a socket of the node itself (the kubelet) sends to an enrolled pod gets the probe address. */
export function hostRules(family: Family, probeAddress: string): Rule[] {
  return [
    { table: 'nat', chain: 'POSTROUTING', spec: `-j ${postroutingChain}`, position: 1 },
    {
      table: 'nat',
      chain: postroutingChain,
      spec: `-p tcp -m owner --socket-exists -m set --match-set ${probeSet[family]} dst -j SNAT --to-source ${probeAddress}`,
    },
  ]
}

/** Chains that in-pod mode may own inside a pod. */
export const isPodChain = (chain: string) => chain.startsWith('ISTIO_')
/** Chains that in-pod mode owns on the node. */
export const isHostChain = (chain: string) => chain === postroutingChain
