import { execa } from 'execa'
import type { Finding } from './finding.ts'

interface KernelProbe {
  readonly id: string
  readonly title: string
  /** Kernel options that bring it (Linux's own names, as modules or built in). */
  readonly options: readonly string[]
  /** Shell script, run with -e in network, mount, PID, UTS and IPC namespaces of its own, which end with it. */
  readonly script: string
}

const table = (name: string, rules: readonly string[]) => [`*${name}`, ...rules, 'COMMIT', ''].join('\n')
const restore = (command: string, ...tables: string[]) => `${command} <<'RULES'\n${tables.join('')}RULES`

/** What the lab's nodes and the redirection rules are made of; each probe makes the thing itself. */
export const kernelProbes: readonly KernelProbe[] = [
  {
    id: 'namespaces',
    title: 'network, mount, PID, UTS and IPC namespaces',
    options: ['NET_NS', 'PID_NS', 'UTS_NS', 'IPC_NS'],
    script: 'test "$(id -u)" = 0',
  },
  {
    id: 'overlayfs',
    title: 'overlayfs over /',
    options: ['OVERLAY_FS'],
    script: `mount -t tmpfs tmpfs /mnt && mkdir /mnt/upper /mnt/work /mnt/root
mount -t overlay overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work /mnt/root
echo x > /mnt/root/everyhop-doctor && test -e /mnt/upper/everyhop-doctor`,
  },
  {
    id: 'veth',
    title: 'veth and bridge devices',
    options: ['VETH', 'BRIDGE'],
    script:
      'ip link add everyhop0 type veth peer name everyhop1\nip link add everyhop2 type bridge\nip link set everyhop1 master everyhop2',
  },
  {
    id: 'policy-routing',
    title: 'policy routing by mark, IPv4 and IPv6',
    options: ['IP_MULTIPLE_TABLES', 'IPV6_MULTIPLE_TABLES'],
    script: `ip link set lo up
for v in -4 -6; do ip $v rule add fwmark 0x111/0xfff pref 32764 lookup 100; done
ip -4 route add local 0.0.0.0/0 dev lo table 100\nip -6 route add local ::/0 dev lo table 100`,
  },
  {
    id: 'ipset',
    title: 'ipset of type hash:ip',
    options: ['IP_SET', 'IP_SET_HASH_IP'],
    script: 'ipset create everyhop hash:ip && ipset add everyhop 10.0.0.1',
  },
  {
    id: 'iptables',
    title: 'iptables-nft with REDIRECT, CONNMARK, mark, owner',
    options: ['NFT_COMPAT', 'NETFILTER_XT_TARGET_REDIRECT', 'NETFILTER_XT_CONNMARK', 'NETFILTER_XT_MARK', 'NETFILTER_XT_MATCH_OWNER'],
    script: ['iptables-nft-restore', 'ip6tables-nft-restore']
      .map((command) =>
        restore(
          command,
          table('mangle', [
            '-A PREROUTING -m mark --mark 0x539/0xfff -j CONNMARK --set-xmark 0x111/0xfff',
            '-A OUTPUT -m connmark --mark 0x111/0xfff -j CONNMARK --restore-mark --nfmask 0xffffffff --ctmask 0xffffffff',
          ]),
          table('nat', ['-A OUTPUT -p tcp -m owner --uid-owner 1337 -m mark ! --mark 0x539/0xfff -j REDIRECT --to-ports 15001']),
        ),
      )
      .join('\n'),
  },
  {
    id: 'iptables-node',
    title: 'iptables-nft with DNAT, SNAT and ipset matches',
    options: ['NF_NAT', 'NETFILTER_XT_NAT', 'NETFILTER_XT_SET', 'NETFILTER_XT_MATCH_STATISTIC'],
    script: `ipset create everyhop hash:ip
${restore(
  'iptables-nft-restore',
  table('nat', [
    '-A OUTPUT -d 10.96.0.10/32 -p udp -m udp --dport 53 -m statistic --mode random --probability 0.5 -j DNAT --to-destination 10.244.1.2:53',
    '-A POSTROUTING -p tcp -m owner --socket-exists -m set --match-set everyhop dst -j SNAT --to-source 169.254.7.127',
  ]),
)}`,
  },
]

/** Runs the probes side by side, each in namespaces of its own. */
export function kernelFindings(probes: readonly KernelProbe[] = kernelProbes): Promise<Finding[]> {
  return Promise.all(probes.map(probe))
}

async function probe({ id, title, options, script }: KernelProbe): Promise<Finding> {
  if (process.getuid?.() !== 0) return { id, title, state: 'unknown', detail: 'only root can tell' }
  const namespaces = ['--net', '--mount', '--pid', '--uts', '--ipc', '--fork', '--kill-child', '--mount-proc']
  const result = await execa('unshare', [...namespaces, 'sh', '-euc', script], {
    reject: false,
    stdin: 'ignore',
    timeout: 10_000,
    all: true,
  })
  if (!result.failed) return { id, title, state: 'ok' }
  if (result.code === 'ENOENT') return { id, title, state: 'unknown', detail: 'unshare is missing (system package util-linux)' }
  const said = result.all?.trim().split('\n')[0] || result.shortMessage || `exit code ${result.exitCode}`
  const detail = result.timedOut ? 'no answer within 10 s' : said
  return { id, title, state: 'missing', detail, fix: kernelFix(options) }
}

/** What to do when the kernel lacks something. */
export function kernelFix(options: readonly string[]): string {
  return `use a kernel with ${options.map((x) => `CONFIG_${x}`).join(', ')}; in a container: give it all capabilities (docker run --privileged)`
}
