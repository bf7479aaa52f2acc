import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { snapshotHost } from '../../clusters/audit.ts'

/** The host as its own tools show it: one line a thing, with the tool in front. Two looks at a host on which nothing changed are equal. */
export function look(directories: readonly string[]): Set<string> {
  const audited = Object.entries(snapshotHost(directories[0])).flatMap(([kind, lines]) =>
    (lines as readonly string[]).map((line) => `audit ${kind}: ${line}`),
  )
  const own: [title: string, argv: string[]][] = [
    ['ip netns list', ['ip', 'netns', 'list']],
    ['ip link', ['ip', '-o', 'link']],
    ['ip address', ['ip', '-o', 'address']],
    ['iptables-save', ['iptables-save']],
    ['ip6tables-save', ['ip6tables-save']],
    ['nft list tables', ['nft', 'list', 'tables']],
    ['find cgroups', ['find', '/sys/fs/cgroup', '-type', 'd']],
    ['find files', ['find', ...directories, '-printf', '%y %p\n']],
  ]
  const seen = [
    ...audited,
    ...own.flatMap(([title, argv]) => output(argv).map((line) => `${title}: ${line}`)),
    ...mounts().map((line) => `mountinfo: ${line}`),
    ...namespaces(),
    ...processes(),
  ]
  const suspects = new Set(seen.flatMap((line) => pidIn(line) ?? []))
  return new Set(seen.filter((line) => !foreign(pidIn(line), suspects) && !inUse(line)))
}

/** Whether the line is a cgroup with processes in it and no run's name: services come and go; processes that a run left are found by themselves. */
function inUse(line: string): boolean {
  const path = /^(?:audit|find) cgroups: (.+)$/.exec(line)?.[1]
  return path !== undefined && !/\/eh-[0-9a-f]{8}-/.test(path) && read(`${path}/cgroup.procs`) !== ''
}

const pidIn = (line: string) => /^(?:process:|audit processes:|lsns: \w+ \d+) (\d+)/.exec(line)?.[1]

/**
 * Whether somebody else who lives started the process: the first of its ancestors that no run could have left is not init. What a killed
 * run leaves has lost its parent, and so has become a child of init (or of systemd, which may stand in for it).
 */
function foreign(pid: string | undefined, suspects: ReadonlySet<string>): boolean {
  if (pid === undefined || markOf(pid)) return false
  let ancestor: string | undefined = pid
  while (ancestor && suspects.has(ancestor)) ancestor = /^PPid:\t(\d+)/m.exec(read(`/proc/${ancestor}/status`))?.[1]
  return ancestor !== undefined && Number(ancestor) > 1 && !/^Name:\tsystemd$/m.test(read(`/proc/${ancestor}/status`))
}

/** Lines of a tool without what counts by itself. A host without the tool has none. */
function output([file = '', ...args]: string[]): string[] {
  try {
    return execFileSync(file, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'], maxBuffer: 64 << 20 })
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#'))
      .map((line) => line.replace(/\[\d+:\d+\]/, '').trimEnd())
      .filter((line, i, all) => all.indexOf(line) === i)
  } catch {
    return []
  }
}

/** Mount points, sources and types; ids count up by themselves. */
function mounts(): string[] {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .filter(Boolean)
    .map((line) => line.split(' ').slice(3).join(' '))
}

/** Namespaces that a process is in, with the owner's mark and the command of one. */
function namespaces(): string[] {
  return output(['lsns', '-n', '-r', '-o', 'TYPE,NS,PID']).map((line) => {
    const pid = line.split(' ').at(-1)
    return `lsns: ${line} ${markOf(pid)} ${commandOf(pid)}`
  })
}

/** Everything that looks as if a run had started it, by its environment or its command line. */
function processes(): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      const command = commandOf(pid)
      const marked = markOf(pid)
      const ofRun = /harness\/cli\/main|lab\/daemon|evidence\/collector|images\/\w+\/(\w+\/)?main|everyhop|EVERYHOP/.test(command)
      return marked || (ofRun && !command.includes('scripts/prove')) ? [`process: ${pid} ${marked} ${command}`] : []
    })
}

const markOf = (pid = '') => /EVERYHOP_OWNER=([^\0]+)/.exec(read(`/proc/${pid}/environ`))?.[1] ?? ''

/** In one line. */
const commandOf = (pid = '') =>
  read(`/proc/${pid}/cmdline`)
    .replaceAll(/[\0\s]+/g, ' ')
    .trim()

function read(file: string): string {
  try {
    return readFileSync(file, 'latin1')
  } catch {
    return ''
  }
}

export interface Ours {
  /** Owner ids of the runs in question. */
  readonly ids: readonly string[]
  /** Folders that nobody else uses. */
  readonly directories: readonly string[]
}

/**
 * What is on the host that was not before, or no longer. What names one of our ids or folders counts at once. What names another run's id
 * does not: others may come and go beside this. The rest counts if it stays so for `patience` seconds; a process that ended, or its cgroup, does not.
 */
export async function leftovers(before: ReadonlySet<string>, ours: Ours, patience = 20): Promise<string[]> {
  const mine = (line: string) => [...ours.ids, ...ours.directories].some((text) => line.includes(text))
  // The tests beside the code name their cgroups so, and a daemon that runs clusters of kind names what is of those.
  const others = (line: string) => /\beh-[0-9a-f]{8}\b|\beveryhop-(test|docker)-/.test(line)
  const deadline = performance.now() + patience * 1000
  let open: string[] | undefined
  for (;;) {
    const now = look(ours.directories)
    const changed = [
      ...[...now].filter((line) => !before.has(line)).map((line) => `+ ${line}`),
      ...[...before]
        .filter((line) => !now.has(line) && !/^(process|lsns|audit processes|audit cgroups|find cgroups):/.test(line))
        .map((line) => `- ${line}`),
    ]
    const certain = changed.filter(mine)
    if (certain.length > 0) return certain
    open = changed.filter((line) => !others(line) && (open?.includes(line) ?? true))
    if (open.length === 0 || performance.now() > deadline) return open
    await sleep(500)
  }
}
