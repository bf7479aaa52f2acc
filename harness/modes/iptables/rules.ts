import type { Place } from '../place.ts'

/** Marks of packets and connections: facts geneve-mode 3. On the node each is a set of bits; 0x200 is in 0x210 and 0x220 too. */
export const OUTBOUND = 0x100
export const SKIP = 0x200
export const FROM_PROXY = 0x210
export const PASSED = 0x220
export const TO_PROXY = 0x40
/** In ztunnel's namespace. */
export const CAPTURED = 0x400
export const ANSWERED = 0x4d3

/** A tunnel: its devices on the node and in ztunnel's namespace, and its GENEVE identifier (facts 1.2, 2.1). */
export const istioout = { node: 'istioout', proxy: 'pistioout', vni: 1001 } as const
export const istioin = { node: 'istioin', proxy: 'pistioin', vni: 1000 } as const
/** Where no other network of the node has it (facts 1.2). */
export const GENEVE_PORT = 6081

/** Where rules are met: `TABLE BASE CHAIN`. */
export const prerouting = 'mangle PREROUTING ztunnel-PREROUTING'
export const forward = 'mangle FORWARD ztunnel-FORWARD'
export const output = 'mangle OUTPUT ztunnel-OUTPUT'
export const natPrerouting = 'nat PREROUTING ztunnel-PREROUTING'
export const natPostrouting = 'nat POSTROUTING ztunnel-POSTROUTING'
export const filterForward = 'filter FORWARD ztunnel-FORWARD'
/** In ztunnel's namespace. */
export const proxyPrerouting = 'mangle PREROUTING'

export const untouched = { policy: 'accept' } as const

const met = (rule: string) => ({ rule })
const marks = (match: string, bits: string) => met(`-A ztunnel-PREROUTING ${match} -j MARK --set-xmark ${bits}`)
const goesBy = (bits: string) => met(`-A ztunnel-PREROUTING -m mark --mark ${bits} -j RETURN`)
const saves = (bits: string) =>
  met(`-A ztunnel-FORWARD -m mark --mark ${bits}/${bits} -j CONNMARK --save-mark --nfmask ${bits} --ctmask ${bits}`)

/** Rules on the node by their names in facts 1.5, text as the golden iptables-upstream has it; P7, P11 and P14 are the same text. */
export function nodeRules(place: Place) {
  const { ip, veth } = proxyOf(place)
  return {
    P6: marks('-m connmark --mark 0x220/0x220', '0x200/0x200'),
    P7: goesBy('0x200/0x200'),
    P8: marks(`! -i ${veth} -m connmark --mark 0x210/0x210`, '0x40/0x40'),
    P9: goesBy('0x40/0x40'),
    P10: marks(`! -s ${ip}/32 -i ${veth}`, '0x210/0x210'),
    P11: goesBy('0x200/0x200'),
    P12: marks(`-i ${veth}`, '0x220/0x220'),
    P13: marks('-p udp', '0x220/0x220'),
    P14: goesBy('0x200/0x200'),
    P15: marks('-p tcp -m set --match-set ztunnel-pods-ips src', '0x100/0x100'),
    F1: saves('0x220'),
    F2: saves('0x210'),
    O1: met(
      `-A ztunnel-OUTPUT -s ${place.gateway}/32 -p tcp -m owner --socket-exists -m set --match-set ztunnel-pods-ips dst -j MARK --set-xmark 0x220/0xffffffff`,
    ),
    N1: met('-A ztunnel-PREROUTING -m mark --mark 0x100/0x100 -j ACCEPT'),
    N2: met(`-A ztunnel-PREROUTING -p udp -m set --match-set ztunnel-pods-ips src -m udp --dport 53 -j DNAT --to-destination ${ip}:15053`),
    N3: met('-A ztunnel-POSTROUTING -m mark --mark 0x100/0x100 -j ACCEPT'),
    X1: met('-A ztunnel-FORWARD -m mark --mark 0x100/0x100 -j ACCEPT'),
  }
}

const tproxy = (match: string, port: number) =>
  met(`-A PREROUTING -i ${match} -j TPROXY --on-port ${port} --on-ip 127.0.0.1 --tproxy-mark 0x400/0xfff`)

/** Rules in ztunnel's namespace by their names in facts 2.3. */
export const proxyRules = (place: Place) => ({
  Z1: tproxy('pistioin -p tcp -m tcp --dport 15008', 15008),
  Z2: tproxy('pistioout -p tcp', 15001),
  Z3: tproxy('pistioin -p tcp', 15006),
  Z4: met(`-A PREROUTING ! -d ${proxyOf(place).ip}/32 -i eth0 -p tcp -j MARK --set-xmark 0x4d3/0xfff`),
})

/** Policy rules and the routes that they lead to: facts 1.6, 2.2. */
export const ways = {
  main: '100: from all fwmark 0x200/0x200 goto 32766',
  outbound: ['101: from all fwmark 0x100/0x100 lookup 101', 'default via 192.168.127.2 dev istioout table 101'],
  toProxy: ({ ip, veth }: Proxy) => ['102: from all fwmark 0x40/0x40 lookup 102', `default via ${ip} dev ${veth} table 102`] as const,
  inbound: (podIp: string) => ['103: from all lookup 100', `${podIp} via 192.168.126.2 dev istioin table 100`] as const,
  captured: ['20000: from all fwmark 0x400/0xfff lookup 100', 'local default dev lo table 100'],
  answered: ['20003: from all fwmark 0x4d3/0xfff lookup 100', 'local default dev lo table 100'],
} as const

type Proxy = NonNullable<Place['proxy']>

/** @throws Error when the place's node has no ztunnel: then nothing of this mode can be there */
export function proxyOf({ node, proxy }: Place): Proxy {
  if (!proxy) throw new Error(`node ${node} has no ztunnel whose namespace is known: mode iptables has no path without`)
  return proxy
}
