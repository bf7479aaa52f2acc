import { mangle, nat, type Rule, when } from '../netfilter/rule.ts'
import {
  dnsPort,
  hbonePort,
  inboundPort,
  loopback,
  outboundPort,
  outputChain,
  prefixLength,
  preroutingChain,
  proxyMark,
  replyMark,
} from './constants.ts'
import type { PodRuleOptions } from './rules.ts'

/** Rules inside an enrolled pod, IPv4, in the order of each chain: inbound by TPROXY, which leaves addresses as they are (Istio 1.21 to 1.23). */
export function tproxyRules({ family, dnsCapture, probeAddress }: PodRuleOptions): Rule[] {
  const local = loopback[family]
  const probes = `${probeAddress}/${prefixLength[family]}`
  const toProxy = (port: number) => `-j TPROXY --on-port ${port} --on-ip 0.0.0.0 --tproxy-mark ${replyMark}`
  return [
    mangle('PREROUTING', `-j ${preroutingChain}`),
    mangle('OUTPUT', `-j ${outputChain}`),
    mangle(outputChain, `-m connmark --mark ${replyMark} -j CONNMARK --restore-mark --nfmask 0xffffffff --ctmask 0xffffffff`),
    mangle(preroutingChain, `-m mark --mark ${proxyMark} -j CONNMARK --set-xmark ${replyMark}`),
    mangle(preroutingChain, `-s ${probes} -p tcp -m tcp -j ACCEPT`),
    mangle(preroutingChain, `! -d ${local} -i lo -p tcp -j ACCEPT`),
    mangle(preroutingChain, `-p tcp -m tcp --dport ${hbonePort} -m mark ! --mark ${proxyMark} ${toProxy(hbonePort)}`),
    mangle(preroutingChain, '-p tcp -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT'),
    mangle(preroutingChain, `! -d ${local} -p tcp -m mark ! --mark ${proxyMark} ${toProxy(inboundPort)}`),

    nat('OUTPUT', `-j ${outputChain}`),
    nat(outputChain, `-d ${probes} -p tcp -m tcp -j ACCEPT`),
    // Of UDP only, and the proxy's own questions too: in these releases it asks them from its own namespace.
    ...when(dnsCapture, nat(outputChain, `! -o lo -p udp -m udp --dport 53 -j REDIRECT --to-ports ${dnsPort}`)),
    nat(outputChain, `-p tcp -m mark --mark ${replyMark} -j ACCEPT`),
    nat(outputChain, `! -d ${local} -o lo -j ACCEPT`),
    nat(outputChain, `! -d ${local} -p tcp -m mark ! --mark ${proxyMark} -j REDIRECT --to-ports ${outboundPort}`),
  ]
}
