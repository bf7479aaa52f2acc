import { closeSync, fstatSync, openSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { networkInterfaces } from 'node:os'
import { join } from 'node:path'
import { inNetns } from '../../lib/netns.ts'

/** A network namespace held open; its identity is what stat gives for it. */
export interface Namespace {
  readonly fd: number
  readonly ino: bigint
  readonly dev: bigint
}

/** Opens a namespace file. @throws Error if it is no namespace, or the node's own: rules for a pod must never land there */
export function openNamespace(path: string, hostProc: string): Namespace {
  let fd: number
  try {
    fd = openSync(path, 'r')
  } catch (error) {
    throw new Error(`network namespace ${path} cannot be opened: ${(error as Error).message}`, { cause: error })
  }
  try {
    const { ino, dev } = fstatSync(fd, { bigint: true })
    const host = statSync(join(hostProc, '1/ns/net'), { bigint: true })
    if (dev !== host.dev) throw new Error(`${path} is no network namespace (the namespace is gone, or its mount is not visible here)`)
    if (ino === host.ino) throw new Error(`refusing ${path}: it is the network namespace of the node itself`)
    return { fd, ino, dev }
  } catch (error) {
    closeSync(fd)
    throw error
  }
}

export function closeNamespace(namespace: Namespace): void {
  closeSync(namespace.fd)
}

/** Is one of these addresses on an interface inside? */
export function holdsAddress(namespace: Namespace, addresses: readonly string[]): boolean {
  const interfaces = inNetns(namespace.fd, () => networkInterfaces())
  const present = new Set(Object.values(interfaces).flatMap((list) => (list ?? []).map((i) => i.address)))
  return addresses.some((a) => present.has(a))
}

// A pod's UID in a cgroup path, after `pod`: cgroupfs has dashes, systemd underscores, static pods nothing between the groups.
const podUid =
  /[^0-9a-z]pod([0-9a-f]{8})[^0-9a-z]?([0-9a-f]{4})[^0-9a-z]?([0-9a-f]{4})[^0-9a-z]?([0-9a-f]{4})[^0-9a-z]?([0-9a-f]{12})(?![0-9a-z])/i

/** The UID of the pod that a process belongs to, from its /proc/PID/cgroup (v1 and v2 lines), as 32 lower-case digits without dashes. */
export function podUidOf(cgroup: string): string | undefined {
  for (const line of cgroup.split('\n')) {
    const path = line.slice(line.indexOf(':', line.indexOf(':') + 1) + 1)
    const found = podUid.exec(path)
    if (found) return found.slice(1).join('').toLowerCase()
  }
  return undefined
}

const plain = (uid: string) => uid.replaceAll(/[^0-9a-z]/gi, '').toLowerCase()

/** Finds the namespaces of running pods by their processes. Calls of one turn of the event loop share one walk over /proc. */
export class NamespaceFinder {
  readonly #hostProc: string
  #walk: Promise<Map<string, string>> | undefined

  constructor(hostProc: string) {
    this.#hostProc = hostProc
  }

  /** The namespace of the pod's oldest process that is not in the node's own; undefined: the pod has no such process. The caller closes it. */
  async find(uid: string): Promise<Namespace | undefined> {
    this.#walk ??= new Promise((resolve, reject) => {
      setImmediate(() => {
        this.#walk = undefined
        try {
          resolve(walk(this.#hostProc))
        } catch (error) {
          reject(error)
        }
      })
    })
    const path = (await this.#walk).get(plain(uid))
    if (!path) return undefined
    try {
      return openNamespace(path, this.#hostProc)
    } catch (error) {
      // The process ended since the walk.
      if (((error as Error).cause as NodeJS.ErrnoException | undefined)?.code === 'ENOENT') return undefined
      throw error
    }
  }
}

/** Plain UID → path of the namespace file of its oldest process outside the node's namespace. */
function walk(proc: string): Map<string, string> {
  const host = statSync(join(proc, '1/ns/net'), { bigint: true })
  const oldest = new Map<string, { started: number; path: string }>()
  for (const pid of readdirSync(proc)) {
    if (!/^\d+$/.test(pid)) continue
    try {
      const uid = podUidOf(readFileSync(join(proc, pid, 'cgroup'), 'utf8'))
      if (!uid) continue
      const path = join(proc, pid, 'ns/net')
      const { ino, dev } = statSync(path, { bigint: true })
      if (ino === host.ino && dev === host.dev) continue
      const started = startTime(readFileSync(join(proc, pid, 'stat'), 'utf8'))
      const known = oldest.get(uid)
      if (!known || started < known.started) oldest.set(uid, { started, path })
    } catch {
      // The process ended while it was looked at.
    }
  }
  return new Map([...oldest].map(([uid, { path }]) => [uid, path]))
}

/** Field 22 of /proc/PID/stat, clock ticks since boot; the name in field 2 may hold anything. */
function startTime(stat: string): number {
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19])
}
