import { once } from 'node:events'
import type { ClusterNode } from './cluster.ts'

/** What of a node a mesh could leave something in. Values are sorted lines; equal nodes give equal snapshots. */
export interface NodeSnapshot {
  /** Devices, but for those of pods. */
  readonly links: readonly string[]
  /** Netfilter rules and sets of all families, each with its table and chain, without counters and without kube-proxy's; empty chains say nothing. */
  readonly rules: readonly string[]
  readonly policyRules: readonly string[]
  /** Routes of all tables, but for those to pods. */
  readonly routes: readonly string[]
  readonly ipsets: readonly string[]
  /** What CNI plugins and agents have on the node's disk: path and digest. */
  readonly files: readonly string[]
  readonly bpf: readonly string[]
  readonly settings: readonly string[]
}

const sections: Readonly<Record<keyof NodeSnapshot, string>> = {
  links: `ip -o link | awk -F': ' '{print $2}' | grep -v '@'`,
  rules: `{ nft -s list ruleset; for t in iptables-legacy-save ip6tables-legacy-save; do command -v $t >/dev/null && $t | grep '^-A'; done; } 2>/dev/null`,
  policyRules: 'ip -4 rule; ip -6 rule',
  routes: `{ ip -4 route show table all; ip -6 route show table all; } | grep -vE 'veth|fe80::|ff00::' | sed 's/ expires [0-9]*sec//'`,
  ipsets: 'ipset list -n',
  // Configurations as they are: how they are spaced is nothing. Sockets and links have no content.
  files: `for f in /etc/cni/net.d/*; do echo "$f $(base64 -w0 $f)"; done
for d in /opt/cni/bin /var/run/istio-cni /var/run/ztunnel /etc/ambient-config; do
  find $d -type f -exec sha256sum {} + ; find $d ! -type f ! -type d; done 2>/dev/null`,
  bpf: 'find /sys/fs/bpf -mindepth 1 2>/dev/null',
  settings: `for f in /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv[46]/conf/all/* /proc/sys/net/ipv[46]/conf/default/*; do
  [ -r $f ] && echo "$f $(cat $f 2>/dev/null)"; done`,
}

const separator = (name: string) => `=== ${name}`

/** Looks at a node with its own tools, and with no code of the mesh, so that it can tell what that forgot. @throws Error with what the node's shell said */
export async function snapshotNode(node: Pick<ClusterNode, 'name' | 'spawn'>): Promise<NodeSnapshot> {
  const script = Object.entries(sections).map(([name, command]) => `echo '${separator(name)}'\n${command}`)
  const child = node.spawn(['sh', '-c', `${script.join('\n')}\ntrue`])
  child.stdin?.end()
  let [text, complaint] = ['', '']
  child.stdout?.setEncoding('utf8').on('data', (piece: string) => {
    text += piece
  })
  child.stderr?.setEncoding('utf8').on('data', (piece: string) => {
    complaint += piece
  })
  const [code] = (await once(child, 'close')) as [number | null]
  if (code !== 0) throw new Error(`node ${node.name} could not be looked at (exit code ${code}): ${complaint.trim()}`)
  const found = Object.fromEntries(Object.keys(sections).map((name) => [name, [] as string[]])) as Record<keyof NodeSnapshot, string[]>
  let current: string[] = []
  for (const line of text.split('\n')) {
    const section = Object.keys(sections).find((name) => line === separator(name)) as keyof NodeSnapshot | undefined
    if (section) current = found[section]
    else if (line.trim() !== '') current.push(line.trimEnd())
  }
  const { rules, files, ...rest } = found
  const snapshot = { ...rest, rules: rulesOf(rules), files: files.map(readable) }
  for (const lines of Object.values(snapshot)) lines.sort()
  return snapshot
}

/** Of `nft list ruleset` and the legacy tables' rules: each rule and set with what it is in. */
function rulesOf(lines: readonly string[]): string[] {
  const inside: string[] = []
  const found: string[] = []
  for (const line of lines.map((l) => l.trim())) {
    if (line.endsWith('{')) {
      inside.push(line.slice(0, -1).trim())
      if (line.startsWith('set ') || line.startsWith('map ')) found.push(inside.join(' '))
    } else if (line === '}') inside.pop()
    else if (!/^(type|policy) |KUBE-/.test(line) && !inside.some((word) => word.includes('KUBE-'))) found.push([...inside, line].join(' '))
  }
  return found
}

/** The same with the keys of all maps in order: that says nothing either. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([k, v]) => [k, sorted(v)]),
  )
}

/** A CNI configuration with its content, as compact JSON where it is JSON. */
function readable(line: string): string {
  const [, file, content] = /^(\/etc\/cni\/net\.d\/\S+) (\S+)$/.exec(line) ?? []
  if (!file || !content) return line
  const text = Buffer.from(content, 'base64').toString()
  try {
    return `${file} ${JSON.stringify(sorted(JSON.parse(text)))}`
  } catch {
    return `${file} ${text.trim()}`
  }
}

/** What is there after that was not before, and the other way round, in words. */
export function compareNodes(before: NodeSnapshot, after: NodeSnapshot): string[] {
  return (Object.keys(before) as (keyof NodeSnapshot)[]).flatMap((kind) => {
    const left = [...before[kind]]
    const added = after[kind].filter((line) => {
      const at = left.indexOf(line)
      if (at >= 0) left.splice(at, 1)
      return at < 0
    })
    return [...added.map((line) => `${kind} added: ${line}`), ...left.map((line) => `${kind} removed: ${line}`)]
  })
}
