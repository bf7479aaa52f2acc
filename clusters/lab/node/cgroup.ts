import { existsSync, readdirSync, readFileSync, rmdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { makeDirectories } from './directories.ts'

/**
 * Where cgroups of this host are made: the cgroup2 hierarchy (pure, or `unified` beside version 1), else version 1's `pids`.
 * @throws Error if the host has neither
 */
export function cgroupRoot(): string {
  const roots = ['/sys/fs/cgroup', '/sys/fs/cgroup/unified']
  const root = roots.find((path) => existsSync(join(path, 'cgroup.controllers')))
  if (root) return root
  if (existsSync('/sys/fs/cgroup/pids/cgroup.procs')) return '/sys/fs/cgroup/pids'
  throw new Error('no cgroup hierarchy under /sys/fs/cgroup; fix: mount -t cgroup2 cgroup2 /sys/fs/cgroup')
}

export function makeCgroup(path: string): void {
  makeDirectories(path)
}

/** Pids (as this process sees them) in the cgroup and in those below it; nothing if it is not there. */
export function cgroupMembers(path: string): number[] {
  let own: number[]
  try {
    own = readFileSync(join(path, 'cgroup.procs'), 'utf8').split('\n').filter(Boolean).map(Number)
  } catch {
    return []
  }
  return [...own, ...children(path).flatMap(cgroupMembers)]
}

/** Kills everything in the cgroup and removes it with those below it. Nothing there is no error. */
export async function removeCgroup(path: string): Promise<void> {
  for (let tries = 0; existsSync(path); tries++) {
    for (const pid of cgroupMembers(path)) {
      try {
        process.kill(pid, 'SIGKILL')
      } catch {
        // Gone since it was listed.
      }
    }
    try {
      removeTree(path)
      return
    } catch (error) {
      // The kernel lets go of a killed process's cgroup a moment after the process has left the list.
      if ((error as NodeJS.ErrnoException).code !== 'EBUSY' || tries > 400) throw error
      await sleep(Math.min(1 + tries, 10))
    }
  }
}

function removeTree(path: string): void {
  for (const child of children(path)) removeTree(child)
  try {
    rmdirSync(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
}

function children(path: string): string[] {
  try {
    return readdirSync(path, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => join(path, entry.name))
  } catch {
    return []
  }
}
