import { createHash } from 'node:crypto'
import { type Endpoint, type EndpointSlice, keyOf, type Service } from '../../kubernetes.ts'

/** Where all pods' addresses are: traffic to a service from elsewhere is masqueraded (kube-proxy's --cluster-cidr). */
export const clusterCidr = '10.244.0.0/16'

/** Chains, rules and the jumps to them, as kube-proxy's iptables mode makes them for ClusterIPs. */
export interface ProxyRules {
  /** Rules by table and chain, in order; each without its `-A CHAIN`. */
  readonly nat: Map<string, string[]>
  readonly filter: Map<string, string[]>
}

/** Built-in chain → rule that leads to kube-proxy's chains. */
const jumps: Record<'nat' | 'filter', [chain: string, rule: string][]> = {
  nat: [
    ['PREROUTING', '-m comment --comment "kubernetes service portals" -j KUBE-SERVICES'],
    ['OUTPUT', '-m comment --comment "kubernetes service portals" -j KUBE-SERVICES'],
    ['POSTROUTING', '-m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING'],
  ],
  filter: [
    ['FORWARD', '-m conntrack --ctstate NEW -m comment --comment "kubernetes service portals" -j KUBE-SERVICES'],
    ['OUTPUT', '-m conntrack --ctstate NEW -m comment --comment "kubernetes service portals" -j KUBE-SERVICES'],
    ['FORWARD', '-m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD'],
  ],
}

/**
 * The rules for a node: DNAT of each ClusterIP port to a random ready endpoint, masquerade for clients that are no pods and for pods
 * that reach themselves, REJECT for ports without endpoints. Chain names, marks and rule order are kube-proxy's (iptables mode).
 */
export function proxyRules(services: readonly Service[], slices: readonly EndpointSlice[]): ProxyRules {
  const portals: string[] = []
  const rejects: string[] = []
  const nat = new Map<string, string[]>([
    ['KUBE-SERVICES', portals],
    ['KUBE-MARK-MASQ', ['-j MARK --or-mark 0x4000']],
    [
      'KUBE-POSTROUTING',
      [
        '-m mark ! --mark 0x4000/0x4000 -j RETURN',
        '-j MARK --xor-mark 0x4000',
        '-m comment --comment "kubernetes service traffic requiring SNAT" -j MASQUERADE --random-fully',
      ],
    ],
  ])
  const filter = new Map<string, string[]>([
    ['KUBE-SERVICES', rejects],
    [
      'KUBE-FORWARD',
      [
        '-m conntrack --ctstate INVALID -j DROP',
        '-m comment --comment "kubernetes forwarding rules" -m mark --mark 0x4000/0x4000 -j ACCEPT',
        '-m comment --comment "kubernetes forwarding conntrack rule" -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
      ],
    ],
  ])
  for (const service of [...services].sort((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1))) {
    const { clusterIP, ports = [] } = service.spec
    if (!clusterIP || clusterIP === 'None') continue
    for (const port of ports) {
      const protocol = (port.protocol ?? 'TCP').toLowerCase()
      const name = `${keyOf(service)}${port.name ? `:${port.name}` : ''}`
      const to = `-d ${clusterIP}/32 -p ${protocol} -m comment --comment "${name} %" -m ${protocol} --dport ${port.port}`
      const backends = endpointsOf(service, slices, port.name ?? '')
      if (backends.length === 0) {
        rejects.push(`${to.replace('%', 'has no endpoints')} -j REJECT --reject-with icmp-port-unreachable`)
        continue
      }
      const chain = `KUBE-SVC-${hash(name + protocol)}`
      portals.push(`${to.replace('%', 'cluster IP')} -j ${chain}`)
      const choose = [`! -s ${clusterCidr} ${to.replace('%', 'cluster IP')} -j KUBE-MARK-MASQ`]
      backends.forEach(({ address, port: target }, i) => {
        const endpoint = `KUBE-SEP-${hash(`${name}${protocol}${address}:${target}`)}`
        const left = backends.length - i
        const chance = left === 1 ? '' : ` -m statistic --mode random --probability ${(1 / left).toFixed(10)}`
        choose.push(`-m comment --comment "${name} -> ${address}:${target}"${chance} -j ${endpoint}`)
        nat.set(endpoint, [
          `-s ${address}/32 -m comment --comment "${name}" -j KUBE-MARK-MASQ`,
          `-p ${protocol} -m comment --comment "${name}" -m ${protocol} -j DNAT --to-destination ${address}:${target}`,
        ])
      })
      nat.set(chain, choose)
    }
  }
  return { nat, filter }
}

/** Ready endpoints; if there is none, those that are terminating but still serve (kube-proxy's fallback). IPv4, in a stable order. */
export function endpointsOf(service: Service, slices: readonly EndpointSlice[], portName: string): { address: string; port: number }[] {
  const found: { address: string; port: number; endpoint: Endpoint }[] = []
  for (const slice of slices) {
    if (slice.addressType !== 'IPv4' || slice.metadata.namespace !== service.metadata.namespace) continue
    if (slice.metadata.labels?.['kubernetes.io/service-name'] !== service.metadata.name) continue
    const port = slice.ports?.find((p) => (p.name ?? '') === portName)?.port
    if (port === undefined) continue
    for (const endpoint of slice.endpoints ?? []) {
      const [address] = endpoint.addresses
      if (address) found.push({ address, port, endpoint })
    }
  }
  const ready = found.filter(({ endpoint }) => endpoint.conditions?.ready !== false)
  const last = found.filter(({ endpoint }) => endpoint.conditions?.serving && endpoint.conditions.terminating)
  const unique = new Map((ready.length > 0 ? ready : last).map(({ address, port }) => [`${address}:${port}`, { address, port }]))
  return [...unique.values()].sort((a, b) => (`${a.address}:${a.port}` < `${b.address}:${b.port}` ? -1 : 1))
}

const base32 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'

/** First 16 characters of the SHA-256 in base 32, as kube-proxy names its chains. */
function hash(text: string): string {
  const digest = createHash('sha256').update(text).digest()
  let bits = 0n
  for (const byte of digest.subarray(0, 10)) bits = (bits << 8n) | BigInt(byte)
  return Array.from({ length: 16 }, (_, i) => base32[Number((bits >> BigInt(75 - 5 * i)) & 31n)]).join('')
}

/**
 * Input for `iptables-restore --noflush` that makes the chains hold exactly these rules and touches no other.
 * @param stale chains of an earlier state, by table, that go away
 * @param first also add the jumps from the built-in chains
 */
export function restoreText(rules: ProxyRules, stale: Record<'nat' | 'filter', readonly string[]>, first: boolean): string {
  const table = (name: 'nat' | 'filter') => {
    const gone = stale[name].filter((chain) => !rules[name].has(chain))
    return [
      `*${name}`,
      // Naming a chain empties it.
      ...[...rules[name].keys(), ...gone].map((chain) => `:${chain} - [0:0]`),
      ...[...rules[name]].flatMap(([chain, lines]) => lines.map((line) => `-A ${chain} ${line}`)),
      // Before what others put there, in this order.
      ...(first ? jumps[name].map(([chain, rule]) => `-I ${chain} ${rule}`).reverse() : []),
      ...gone.map((chain) => `-X ${chain}`),
      'COMMIT',
    ]
  }
  return `${[...table('nat'), ...table('filter')].join('\n')}\n`
}
