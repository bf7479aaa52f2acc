import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { startTime } from './processes.ts'

/** Names one process of this host for ever, in whatever pid namespace it is. */
export interface Identity {
  /** As the process itself sees it. */
  readonly pid: number
  /** Clock ticks since boot. */
  readonly starttime: string
  readonly boot: string
  /** Its pid namespace, such as `pid:[4026531836]`. */
  readonly pidns: string
}

/** The kernel's first pid namespace (PROC_PID_INIT_INO of linux/proc_ns.h): its processes see all others. */
const firstNamespace = 'pid:[4026531836]'

export function ownIdentity(): Identity {
  return { pid: process.pid, starttime: startTime(process.pid) ?? '', boot: bootId(), pidns: readlinkSync('/proc/self/ns/pid') }
}

/**
 * Whether the process still lives. One of another pid namespace is looked for among all that can be seen; only the first namespace sees
 * everything, so elsewhere one that is not seen counts as alive: it must not be touched.
 */
export function lives({ pid, starttime, boot, pidns }: Identity): boolean {
  if (boot !== bootId()) return false
  if (pidns === readlinkSync('/proc/self/ns/pid')) return startTime(pid) === starttime
  const seen = readdirSync('/proc').some(
    (name) => /^\d+$/.test(name) && namespaceOf(name) === pidns && innermostPid(name) === pid && startTime(Number(name)) === starttime,
  )
  return seen || readlinkSync('/proc/self/ns/pid') !== firstNamespace
}

function bootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
}

function namespaceOf(pid: string): string {
  try {
    return readlinkSync(`/proc/${pid}/ns/pid`)
  } catch {
    return ''
  }
}

/** The last of its pids (proc(5), NSpid): the one in its own namespace. */
function innermostPid(pid: string): number {
  try {
    return Number(/^NSpid:.*\t(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1])
  } catch {
    return Number.NaN
  }
}
