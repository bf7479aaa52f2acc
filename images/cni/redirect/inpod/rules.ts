import { type Family, mangle, nat, type Rule } from '../netfilter/rule.ts'
import { outputChain, postroutingChain, proxyMark } from './constants.ts'

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

/**
 * Rules on the node, one family: what a socket of the node itself (the kubelet) sends to an enrolled pod gets the probe address.
 * @param jumpFirst the jump stands before all others', else behind them
 */
export function hostRules(probeSet: string, probeAddress: string, jumpFirst: boolean): Rule[] {
  return [
    { ...nat('POSTROUTING', `-j ${postroutingChain}`), ...(jumpFirst ? { position: 1 } : {}) },
    nat(postroutingChain, `-p tcp -m owner --socket-exists -m set --match-set ${probeSet} dst -j SNAT --to-source ${probeAddress}`),
  ]
}

/** Of a pod's rules those that capture nothing: they mark what the proxy opens towards the pod and bring the answers back to it, and make the kernel track connections. */
export const isReplyRule = ({ table, spec }: Rule) => table === 'mangle' && !/-j (?:TPROXY|ACCEPT)\b/.test(spec)
/** While a running pod is enrolled: marks the proxy's connections to others, which nothing else tells from the application's of before. */
export const ownTraffic = mangle(outputChain, `! -o lo -m mark --mark ${proxyMark} -j CONNMARK --set-xmark ${proxyMark}`)
/** Chains that in-pod mode may own inside a pod. */
export const isPodChain = (chain: string) => chain.startsWith('ISTIO_')
/** Chains that in-pod mode owns on the node. */
export const isHostChain = (chain: string) => chain === postroutingChain
