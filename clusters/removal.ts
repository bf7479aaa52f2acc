import { existsSync, readdirSync, readFileSync, rmdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { c, check, EINVAL, ENOENT, MNT_DETACH, SystemError, UMOUNT_NOFOLLOW } from '../images/lib/libc.ts'
import { killAll, processesOf } from './processes.ts'
import type { Owner, Resource } from './registry.ts'

/**
 * Removes one resource of `owner`; nothing there is no error.
 * @returns what was removed, one line each
 * @throws Error that names what stays, why, and the fix
 */
export async function remove(resource: Resource, owner: Owner): Promise<string[]> {
  const spared = new Set(owner.alive ? [process.pid, owner.ownerPid] : [process.pid])
  switch (resource.kind) {
    case 'processes': {
      const killed = await killAll(() => processesOf(owner.id).filter((pid) => !spared.has(pid)))
      return killed.map((pid) => `process ${pid}`)
    }
    case 'cgroup':
      return (await removeCgroup(resource.path, spared)) ? [`cgroup ${resource.path}`] : []
    case 'mount':
      return unmount(resource.path) ? [`mount ${resource.path}`] : []
    case 'directory':
      return removeDirectory(resource.path) ? [`directory ${resource.path}`] : []
    case 'docker': {
      // Only then: what takes labs down knows nothing of Docker.
      const { removeCluster } = await import('./kind/remove.ts')
      return removeCluster(resource)
    }
  }
}

async function removeCgroup(path: string, spared: Set<number>): Promise<boolean> {
  if (!existsSync(path)) return false
  await killAll(() =>
    descendants(path)
      .flatMap(members)
      .filter((pid) => !spared.has(pid)),
  )
  for (const directory of descendants(path)) {
    for (let tries = 0; existsSync(directory); tries++) {
      try {
        rmdirSync(directory)
      } catch (error) {
        const { code, message } = error as NodeJS.ErrnoException
        if (code === 'ENOENT') break
        // The kernel lets go of a killed process's cgroup a moment after the process has left the list.
        if (code !== 'EBUSY' || tries > 200)
          throw new Error(`cgroup ${directory} cannot be removed: ${message}; fix: end the processes in its cgroup.procs`)
        await new Promise((resolve) => setTimeout(resolve, 5))
      }
    }
  }
  return true
}

/** The cgroup and all below it, children before their parents. */
function descendants(path: string): string[] {
  let entries: string[]
  try {
    entries = readdirSync(path, { withFileTypes: true })
      .filter((e) => e.isDirectory())
      .map((e) => join(path, e.name))
  } catch {
    return []
  }
  return [...entries.flatMap(descendants), path]
}

function members(cgroup: string): number[] {
  try {
    // 0 stands for a process of a pid namespace that this one cannot see.
    return readFileSync(join(cgroup, 'cgroup.procs'), 'utf8')
      .split('\n')
      .filter((line) => line !== '' && line !== '0')
      .map(Number)
  } catch {
    return []
  }
}

function unmount(path: string): boolean {
  for (let layers = 0; ; layers++) {
    try {
      check('umount2', c.umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW), path)
    } catch (error) {
      // EINVAL: no mount point (any more); several mounts may lie upon each other.
      if (error instanceof SystemError && (error.errno === EINVAL || error.errno === ENOENT)) return layers > 0
      throw new Error(`mount ${path} cannot be unmounted: ${(error as Error).message}; fix: umount -l ${path}`)
    }
  }
}

function removeDirectory(path: string): boolean {
  if (!existsSync(path)) return false
  const inside = mountPoints().filter((point) => point === path || point.startsWith(`${path}/`))
  if (inside.length > 0)
    throw new Error(`directory ${path} is not removed because it holds mounts: ${inside.join(', ')}; fix: umount -l each`)
  rmSync(path, { recursive: true, force: true, maxRetries: 3 })
  return true
}

/** Mount points of this process's mount namespace (proc(5), mountinfo field 5, octal escapes undone). */
export function mountPoints(): string[] {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .filter(Boolean)
    .map((line) =>
      (line.split(' ')[4] ?? '').replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8))),
    )
}
