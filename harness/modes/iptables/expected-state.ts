/** What names and addresses a node has, as far as the mode's state speaks of them. */
export interface NodeNames {
  /** The node's end of its ztunnel's link, and ztunnel's address. */
  readonly device: string
  readonly proxy: string
  /** The node's own address in its pod network. */
  readonly host: string
}

/** GENEVE's port, unless an overlay network has it (facts geneve-mode 1.2). */
const PORT = 6081
const SET = 'ztunnel-pods-ips'
export const podSet = SET

const mark = (value: string) => `-j MARK --set-xmark ${value}/${value}`
const save = (value: string) => `-m mark --mark ${value}/${value} -j CONNMARK --save-mark --nfmask ${value} --ctmask ${value}`
const isMarked = (value: string, target: string) => `-m mark --mark ${value}/${value} -j ${target}`

/** Rules of the node's chains by `TABLE CHAIN`, in order, with DNS capture: facts geneve-mode 1.5, rows P1 to P15, I1, I2, F1, F2, O1, N1 to N3, X1. */
export function nodeRules({ device, proxy, host }: NodeNames): Readonly<Record<string, readonly string[]>> {
  const chain = (name: string, ...rules: string[]) => rules.map((rule) => `-A ztunnel-${name} ${rule}`)
  return {
    'mangle ztunnel-PREROUTING': chain(
      'PREROUTING',
      `-i istioin ${mark('0x200')}`,
      '-i istioin -j RETURN',
      `-i istioout ${mark('0x200')}`,
      '-i istioout -j RETURN',
      `-p udp -m udp --dport ${PORT} -j RETURN`,
      `-m connmark --mark 0x220/0x220 ${mark('0x200')}`,
      isMarked('0x200', 'RETURN'),
      `! -i ${device} -m connmark --mark 0x210/0x210 ${mark('0x40')}`,
      isMarked('0x40', 'RETURN'),
      `! -s ${proxy}/32 -i ${device} ${mark('0x210')}`,
      isMarked('0x200', 'RETURN'),
      `-i ${device} ${mark('0x220')}`,
      `-p udp ${mark('0x220')}`,
      isMarked('0x200', 'RETURN'),
      `-p tcp -m set --match-set ${SET} src ${mark('0x100')}`,
    ),
    'mangle ztunnel-INPUT': chain('INPUT', save('0x220'), save('0x210')),
    'mangle ztunnel-FORWARD': chain('FORWARD', save('0x220'), save('0x210')),
    'mangle ztunnel-OUTPUT': chain(
      'OUTPUT',
      `-s ${host}/32 -p tcp -m owner --socket-exists -m set --match-set ${SET} dst -j MARK --set-xmark 0x220/0xffffffff`,
    ),
    'mangle ztunnel-POSTROUTING': [],
    'nat ztunnel-PREROUTING': chain(
      'PREROUTING',
      isMarked('0x100', 'ACCEPT'),
      `-p udp -m set --match-set ${SET} src -m udp --dport 53 -j DNAT --to-destination ${proxy}:15053`,
    ),
    'nat ztunnel-POSTROUTING': chain('POSTROUTING', isMarked('0x100', 'ACCEPT')),
    'filter ztunnel-FORWARD': chain('FORWARD', isMarked('0x100', 'ACCEPT')),
  }
}

/** Facts geneve-mode 1.6. */
export const nodePolicy: readonly string[] = [
  '100: from all fwmark 0x200/0x200 goto 32766',
  '101: from all fwmark 0x100/0x100 lookup 101',
  '102: from all fwmark 0x40/0x40 lookup 102',
  '103: from all lookup 100',
]

/** Routes of tables 100 to 102. @param pods addresses of the node's enrolled pods */
export function nodeRoutes({ device, proxy, host }: NodeNames, pods: readonly string[]): readonly string[] {
  return [
    ...[100, 101, 102].map((table) => `${proxy} dev ${device} table ${table} scope link`),
    ...pods.map((pod) => `${pod} via 192.168.126.2 dev istioin table 100 src ${host}`),
    'default via 192.168.127.2 dev istioout table 101',
    `default via ${proxy} dev ${device} table 102 onlink`,
    // Not upstream's: what is marked for a ztunnel whose link has gone must end (deviation 40 of the agent).
    'unreachable default table 102 metric 4096',
  ]
}

/** In ztunnel's namespace, rows Z1 to Z4: facts geneve-mode 2.3. */
export const proxyRules = (proxy: string): readonly string[] => [
  ...(
    [
      ['pistioin', ' -m tcp --dport 15008', 15008],
      ['pistioout', '', 15001],
      ['pistioin', '', 15006],
    ] as const
  ).map(
    ([link, port, to]) => `-A PREROUTING -i ${link} -p tcp${port} -j TPROXY --on-port ${to} --on-ip 127.0.0.1 --tproxy-mark 0x400/0xfff`,
  ),
  `-A PREROUTING ! -d ${proxy}/32 -i eth0 -p tcp -j MARK --set-xmark 0x4d3/0xfff`,
]

/** Facts geneve-mode 2.2; tables 101 and 102 are asked by no rule there. */
export const proxyPolicy: readonly string[] = [
  '20000: from all fwmark 0x400/0xfff lookup 100',
  '20003: from all fwmark 0x4d3/0xfff lookup 100',
]
export const proxyRoute = 'local default dev lo table 100 scope host'

/** Facts geneve-mode 2.5; questions are asked over UDP only. */
export const listeners: readonly (readonly ['tcp' | 'udp', number])[] = [
  ['tcp', 15001],
  ['tcp', 15006],
  ['tcp', 15008],
  ['udp', 15053],
]

/** What is in a namespace that nothing was done to. */
export const untouchedPolicy: readonly string[] = [
  '0: from all lookup local',
  '32766: from all lookup main',
  '32767: from all lookup default',
]
