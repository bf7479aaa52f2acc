import { type Netns, runIn, tryIn } from '../command.ts'
import { geneveOverhead, genevePort, type Tunnel, tunnels } from './constants.ts'

/** What carries the tunnels: the kernel's own GENEVE, or its VXLAN device whose header nftables rewrites to GENEVE's and back. */
export type TunnelKind = 'geneve' | 'vxlan'

/** A tunnel link as `ip -d -j link show` tells of it; `remote` of none: any. */
interface Link {
  readonly name: string
  readonly kind: string
  readonly vni: number
  readonly remote: string | undefined
  readonly port: number
}

export interface End {
  readonly netns: Netns
  readonly side: 'node' | 'proxy'
  /** Address of the other end in the network that carries the tunnels. */
  readonly remote: string
}

const all: readonly Tunnel[] = Object.values(tunnels)

/** Whether this kernel makes GENEVE devices: it is asked for one in the namespace, which is removed at once. @throws Error when neither kind can be made */
export async function tunnelKind(netns: Netns): Promise<TunnelKind> {
  const probe = 'istioprobe'
  const made = async (...type: string[]) => {
    const result = await tryIn(netns, ['ip', 'link', 'add', probe, 'type', ...type])
    if (result.exitCode === 0) await runIn(netns, ['ip', 'link', 'del', probe])
    return result
  }
  if ((await made('geneve', 'external')).exitCode === 0) return 'geneve'
  const fallback = await made('vxlan', 'id', '1', 'dstport', '4789')
  if (fallback.exitCode === 0) return 'vxlan'
  throw new Error(`this kernel makes neither GENEVE nor VXLAN devices: ${fallback.stderr.trim()}`)
}

/** The port for tunnels to `remote`: 6081, or the next that no other tunnel has: one of an overlay network (VNI 0, no remote), or with our identifiers to the same remote. */
export async function freePort(netns: Netns, remote: string): Promise<number> {
  const ours = new Set<string>(all.map((t) => t.node))
  const vnis = new Set(all.map((t) => t.vni))
  const taken = (await links(netns))
    .filter((l) => !ours.has(l.name))
    .filter((l) => (l.vni === 0 && l.remote === undefined) || (vnis.has(l.vni) && l.remote === remote))
  let port = genevePort
  while (taken.some((l) => l.port === port)) port++
  return port
}

/** The port of the tunnels that stand; undefined: none do. */
export async function standingPort(netns: Netns): Promise<number | undefined> {
  return (await links(netns)).find((l) => l.name === tunnels.inbound.node)?.port
}

/**
 * Both tunnels of one side, up and with their addresses. Those that stand and differ only in the remote end are changed in place:
 * routes through them stay. Idempotent.
 */
export async function makeTunnels(end: End, kind: TunnelKind, port: number): Promise<void> {
  const { netns, side, remote } = end
  if (kind === 'vxlan') await runIn(netns, ['nft', '-f', '-'], rewriting(port))
  const present = await links(netns)
  const lines: string[] = []
  for (const tunnel of all) {
    const name = tunnel[side]
    const address = side === 'node' ? tunnel.nodeAddress : tunnel.proxyAddress
    const what = `type ${kind} id ${tunnel.vni} remote ${remote}`
    const old = present.find((l) => l.name === name)
    const keep = old?.kind === kind && old.port === port && old.vni === tunnel.vni
    if (old && !keep) lines.push(`link del ${name}`)
    if (!keep) lines.push(`link add name ${name} ${what} dstport ${port}${kind === 'vxlan' ? ' nolearning noudpcsum' : ''}`)
    // The port cannot be named again: neither kind lets it be changed.
    else if (old.remote !== remote) lines.push(`link change dev ${name} ${what}`)
    // Another end has another link address, also where it has the former's IP: what was learnt of that would lead packets nowhere for half a minute.
    if (keep) lines.push(`neigh flush dev ${name}`)
    // A VXLAN device without an underlying one does not know what it adds; GENEVE does.
    if (!keep && kind === 'vxlan') lines.push(`link set ${name} mtu ${1500 - geneveOverhead}`)
    lines.push(`addr replace ${address}/30 brd + dev ${name}`, `link set ${name} up`)
  }
  await runIn(netns, ['ip', '-batch', '-'], `${lines.join('\n')}\n`)
}

/** Takes the tunnels of one side away; each may be gone already. */
export async function removeTunnels(netns: Netns, side: 'node' | 'proxy'): Promise<void> {
  const ours = new Set<string>(all.map((t) => t[side]))
  for (const { name } of await links(netns)) if (ours.has(name)) await runIn(netns, ['ip', 'link', 'del', name])
  // Only where it was made: a kernel without nftables has none either.
  if ((await tryIn(netns, ['nft', 'list', 'table', 'ip', rewritingTable])).exitCode === 0)
    await runIn(netns, ['nft', 'delete', 'table', 'ip', rewritingTable])
}

// `geneve` alone is a word of nft's own language.
const rewritingTable = 'istio_geneve'

/**
 * The first four bytes of both headers lie at the same place: VXLAN has flags 0x08000000 (RFC 7348 section 5), GENEVE without options
 * version 0 and protocol 0x6558 (RFC 8926 section 3.4); the identifier follows in both. Only what this namespace itself sends and gets.
 */
function rewriting(port: number): string {
  const rewrite = (from: string, to: string) => `udp dport ${port} @th,64,32 ${from} @th,64,32 set ${to}`
  const vxlan = '0x08000000'
  const geneve = '0x00006558'
  return `table ip ${rewritingTable}
delete table ip ${rewritingTable}
table ip ${rewritingTable} {
  chain out {
    type filter hook output priority raw; policy accept;
    ${rewrite(vxlan, geneve)}
  }
  chain in {
    type filter hook prerouting priority raw; policy accept;
    fib daddr type local ${rewrite(geneve, vxlan)}
  }
}
`
}

async function links(netns: Netns): Promise<Link[]> {
  const found: Link[] = []
  for (const kind of ['geneve', 'vxlan']) {
    const result = await tryIn(netns, ['ip', '-d', '-j', 'link', 'show', 'type', kind])
    // iproute2 that does not know the kind has no such link to show; of no link it prints nothing.
    if (result.exitCode !== 0 || result.stdout.trim() === '') continue
    for (const { ifname, linkinfo } of JSON.parse(result.stdout) as IpLink[])
      if (linkinfo?.info_kind === kind)
        found.push({
          name: ifname,
          kind,
          vni: linkinfo.info_data?.id ?? 0,
          remote: linkinfo.info_data?.remote,
          port: linkinfo.info_data?.port ?? 0,
        })
  }
  return found
}

interface IpLink {
  readonly ifname: string
  readonly linkinfo?: {
    readonly info_kind?: string
    readonly info_data?: { readonly id?: number; readonly remote?: string; readonly port?: number }
  }
}
