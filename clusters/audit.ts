import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'

/** What of the host a lab could leave something in. Values are lines of text; equal hosts give equal snapshots. */
export interface HostSnapshot {
  /** Named network namespaces. */
  readonly netns: readonly string[]
  /** Devices of the host's own network namespace. */
  readonly links: readonly string[]
  /** Netfilter rules there, nft's and the legacy tables', without counters. */
  readonly rules: readonly string[]
  readonly policyRules: readonly string[]
  readonly routes: readonly string[]
  readonly ipsets: readonly string[]
  /** Mount point and type. */
  readonly mounts: readonly string[]
  /** Directories of every cgroup hierarchy. */
  readonly cgroups: readonly string[]
  /** Processes with an owner's mark, and all that live in other network, mount or pid namespaces than this one. */
  readonly processes: readonly string[]
  /** What everyhop keeps on disk. */
  readonly state: readonly string[]
}

export interface HostDifference {
  readonly kind: keyof HostSnapshot
  readonly change: 'added' | 'removed'
  readonly line: string
}

/**
 * Looks at the host with its own tools and files, and with no code of what makes labs, so that it can tell what those forgot.
 * @param stateDirectory of everyhop's registry
 */
export function snapshotHost(stateDirectory = '/var/lib/everyhop'): HostSnapshot {
  return {
    netns: list('/run/netns'),
    links: lines(['ip', '-o', 'link']).map((line) => (line.split(': ')[1] ?? '').replace(/@.*/, '')),
    rules: [
      ...lines(['nft', 'list', 'ruleset']).map((line) => line.replace(/packets \d+ bytes \d+/, '').trimEnd()),
      ...['iptables-legacy-save', 'ip6tables-legacy-save'].flatMap((tool) =>
        existsSync(tool.startsWith('ip6') ? '/proc/net/ip6_tables_names' : '/proc/net/ip_tables_names')
          ? lines([tool]).filter((line) => line.startsWith('-A'))
          : [],
      ),
    ],
    policyRules: lines(['ip', 'rule']),
    routes: lines(['ip', 'route', 'show', 'table', 'all']),
    ipsets: lines(['ipset', 'list', '-n']),
    mounts: mounts(),
    cgroups: cgroups(),
    processes: processes(),
    state: walk(stateDirectory, 2),
  }
}

/** What differs, in words that can be printed. */
export function compareHosts(before: HostSnapshot, after: HostSnapshot): HostDifference[] {
  return (Object.keys(before) as (keyof HostSnapshot)[]).flatMap((kind) => {
    const left = [...before[kind]]
    const added = after[kind].filter((line) => {
      const at = left.indexOf(line)
      if (at >= 0) left.splice(at, 1)
      return at < 0
    })
    return [
      ...added.map((line) => ({ kind, change: 'added' as const, line })),
      ...left.map((line) => ({ kind, change: 'removed' as const, line })),
    ]
  })
}

/** Lines of a command; none if the host does not have it or it finds nothing. */
function lines([file = '', ...args]: readonly string[]): string[] {
  try {
    return execFileSync(file, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'], maxBuffer: 64 << 20 })
      .split('\n')
      .filter(Boolean)
  } catch {
    return []
  }
}

function list(directory: string): string[] {
  try {
    return readdirSync(directory).sort()
  } catch {
    return []
  }
}

function mounts(): string[] {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .filter(Boolean)
    .map((line) => {
      const fields = line.split(' ')
      return `${fields[4]} ${fields[fields.indexOf('-') + 1]}`
    })
    .sort()
}

function cgroups(): string[] {
  return mounts()
    .filter((line) => / cgroup2?$/.test(line))
    .flatMap((line) => walk(line.split(' ')[0] ?? '', 12, true))
}

/** Paths below a directory, sorted. */
function walk(path: string, depth: number, directoriesOnly = false): string[] {
  if (depth === 0) return []
  let entries: { name: string; directory: boolean }[]
  try {
    entries = readdirSync(path, { withFileTypes: true }).map((e) => ({ name: e.name, directory: e.isDirectory() }))
  } catch {
    return []
  }
  return entries
    .filter((e) => e.directory || !directoriesOnly)
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((e) => [join(path, e.name), ...(e.directory ? walk(join(path, e.name), depth - 1, directoriesOnly) : [])])
}

function processes(): string[] {
  const namespaces = (pid: string) => ['net', 'mnt', 'pid'].map((kind) => readlinkSync(`/proc/${pid}/ns/${kind}`)).join(' ')
  const own = namespaces('self')
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        const mark = /(?:^|\0)EVERYHOP_OWNER=([^\0]*)/.exec(readFileSync(`/proc/${pid}/environ`, 'latin1'))?.[1]
        if (!mark && namespaces(pid) === own) return []
        const command = readFileSync(`/proc/${pid}/cmdline`, 'latin1').split('\0').join(' ').trim()
        return [`${pid} ${mark ?? 'unmarked'} ${command}`]
      } catch {
        return []
      }
    })
}
