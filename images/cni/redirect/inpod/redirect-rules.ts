import { mangle, nat, type Rule, raw, when } from '../netfilter/rule.ts'
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

/** Rules inside an enrolled pod, one family, in the order of each chain: inbound plaintext by REDIRECT (Istio since 1.24). */
export function redirectRules(options: PodRuleOptions): Rule[] {
  const { family, dnsCapture, bypassInbound, rerouteInterfaces } = options
  const local = loopback[family]
  const probes = `${options.probeAddress}/${prefixLength[family]}`
  return [
    mangle('PREROUTING', `-j ${preroutingChain}`),
    mangle('OUTPUT', `-j ${outputChain}`),
    mangle(outputChain, `-m connmark --mark ${replyMark} -j CONNMARK --restore-mark --nfmask 0xffffffff --ctmask 0xffffffff`),
    mangle(preroutingChain, `-m mark --mark ${proxyMark} -j CONNMARK --set-xmark ${replyMark}`),

    nat('PREROUTING', `-j ${preroutingChain}`),
    nat('OUTPUT', `-j ${outputChain}`),
    nat(outputChain, `-d ${probes} -p tcp -m tcp -j ACCEPT`),
    ...when(
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
    ...when(
      !bypassInbound,
      nat(preroutingChain, `-s ${probes} -p tcp -m tcp -j ACCEPT`),
      nat(
        preroutingChain,
        `! -d ${local} -p tcp -m tcp ! --dport ${hbonePort} -m mark ! --mark ${proxyMark} -j REDIRECT --to-ports ${inboundPort}`,
      ),
    ),

    ...when(
      dnsCapture,
      raw('PREROUTING', `-j ${preroutingChain}`),
      raw('OUTPUT', `-j ${outputChain}`),
      raw(outputChain, `-p udp -m mark --mark ${proxyMark} -m udp --dport 53 -j CT --zone 1`),
      raw(preroutingChain, `-p udp -m mark ! --mark ${proxyMark} -m udp --sport 53 -j CT --zone 1`),
    ),
  ]
}
