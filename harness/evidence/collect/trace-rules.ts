/** Name of our own tables, one of family ip and one of ip6; nothing else is in them. */
export const traceTable = 'everyhop'

/** Port that markers are sent to (discard, RFC 863), over lo. */
export const markerPort = 9

/**
 * How often the kernel takes expired elements out of our sets. Whether one counts does not depend on it. Unless told it walks all buckets of each set each second, which are many from the beginning, since
 * `size` is what it makes room for.
 */
const sweep = '1m'

/** Of redirection tunnels (RFC 8926 section 3.3; the next one where another network has it). Their source port is a hash of what is inside: a flow of theirs is no connection, so each datagram is traced. */
const tunnelPorts = '6081-6082'

const baseChains = ['prerouting', 'output'] as const

/**
 * The rules that choose what is traced, as text for `nft -f -`: SYN and SYN-ACK, the first data packet of each direction of a connection, the first datagram of each
 * direction of a UDP flow (again after five seconds), all datagrams of tunnels, and marker datagrams.
 * They sit at priority -400, before raw, conntrack and all other rules, so the first line of a walk shows the packet as it came. `ct state` means nothing that early, so first data is "PSH, and
 * this direction's addresses and ports are not in the set yet"; a SYN takes them out again, because ports are used anew. A packet stays traced while it runs over lo, not when it crosses a veth.
 * Newlines before each brace: nft 1.0.6 wants them. Fails as a whole, changing nothing, when the tables are there already (a killed predecessor's): removeTraceRules() first.
 */
export function traceRules(): string {
  return `create table ip ${traceTable}\ncreate table ip6 ${traceTable}\n${table('ip', 'ipv4_addr')}${table('ip6', 'ipv6_addr')}`
}

/** Takes our tables away, whether they are there or not. */
export function removeTraceRules(): string {
  return ['ip', 'ip6'].map((family) => `add table ${family} ${traceTable}\ndelete table ${family} ${traceTable}\n`).join('')
}

/**
 * Leaves packets from and to these IPv4 addresses untraced, instead of those before: in one transaction. They are the first rules that a packet meets, each a plain comparison: a load's packets meet them
 * tens of times a request, and to look into a set costs several times as much.
 */
export function spareRules(clients: readonly string[]): string {
  const ends = clients.flatMap((client) => [`ip saddr ${client} accept`, `ip daddr ${client} accept`])
  return baseChains
    .map((chain) =>
      [
        `flush chain ip ${traceTable} ${chain}`,
        ...[...ends, 'jump select'].map((rule) => `add rule ip ${traceTable} ${chain} ${rule}`),
        '',
      ].join('\n'),
    )
    .join('')
}

function table(family: 'ip' | 'ip6', address: string): string {
  const flow = `${family} saddr . tcp sport . ${family} daddr . tcp dport`
  const datagrams = `${family} saddr . udp sport . ${family} daddr . udp dport`
  const marker = family === 'ip' ? `\n    ip daddr 127.0.0.1 udp dport ${markerPort} meta nftrace set 1` : ''
  return `table ${family} ${traceTable} {
  set seen {
    type ${address} . inet_service . ${address} . inet_service
    size 65535
    flags dynamic,timeout
    timeout 30m
    gc-interval ${sweep}
  }
  set asked {
    type ${address} . inet_service . ${address} . inet_service
    size 65535
    flags dynamic,timeout
    timeout 5s
    gc-interval ${sweep}
  }
  chain select {
    tcp flags & (syn | rst) == syn meta nftrace set 1
    tcp flags & (syn | rst) == syn delete @seen { ${flow} }
    tcp flags & (psh | rst) == psh ${flow} != @seen meta nftrace set 1 add @seen { ${flow} }
    udp dport ${tunnelPorts} meta nftrace set 1
    ${datagrams} != @asked meta nftrace set 1 add @asked { ${datagrams} }${marker}
  }
  chain prerouting {
    type filter hook prerouting priority -400; policy accept;
    jump select
  }
  chain output {
    type filter hook output priority -400; policy accept;
    jump select
  }
}
`
}
