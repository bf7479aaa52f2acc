import { fstab, type Mount } from '../node/fstab.ts'
import { quote } from '../node/init-script.ts'
import { lowerDirectory, stageDirectory } from '../node/root.ts'

/** A volume as a container sees it. */
export interface VolumeMount {
  /** Path on the node, free of symbolic links. */
  readonly source: string
  /** Path in the container. */
  readonly target: string
  /** A file (a socket, a device) instead of a directory. */
  readonly isFile: boolean
  readonly readOnly: boolean
  /** `None`, `HostToContainer` or `Bidirectional`, as in a pod's spec. */
  readonly propagation: string
}

export interface ContainerScripts {
  /** Run on the node, in the pod's namespaces; its arguments are the container's command. */
  readonly start: string
  /** Run by process 1 of the container. */
  readonly enter: string
  /** The mounts of the container's own file system, and those of its volumes after the change of root. */
  readonly root: string
  readonly volumes: string
}

const systemPath = '/usr/sbin:/usr/bin:/sbin:/bin'
/** In the container, while it is being made: the node's root. The directory must be in the upper layer. */
export const nodeRoot = '/.node'

export interface ContainerLayout {
  readonly id: string
  /** Directory of the container's cgroup. */
  readonly cgroup: string
  readonly volumes: readonly VolumeMount[]
  /** Directories that are to be seen at their own path, read-only. */
  readonly shared: readonly string[]
  /** Directories above those that not every user may enter: in the container they hold nothing else, and everybody may. */
  readonly closed: readonly string[]
  readonly readOnlyRoot: boolean
  readonly workingDirectory: string
}

/**
 * The scripts that make a container: few processes, because they are what a start costs. Whatever goes wrong is said on descriptor 3; the
 * line `ok` there means that the container's own command comes next.
 */
export function containerScripts(layout: ContainerLayout): ContainerScripts {
  const stage = `${stageDirectory}/${layout.id}`
  const root = `${stage}/root`
  // Propagation "unchanged": a volume that is to pass mounts on must still be a peer of the node's; the stage itself is private.
  const start = `set -e
EVERYHOP_PATH=$PATH
PATH=${systemPath}
exec 4>&2 2>&3
echo 0 > ${quote(`${layout.cgroup}/cgroup.procs`)}
export EVERYHOP_PATH
exec unshare --mount --pid --propagation unchanged --fork sh ${stage}/enter "$@"
`
  const targets = layout.volumes.map((volume) => volume.target)
  // A volume at a directory above a shared one, such as one at /tmp, would hide it; and `mount -a` does not mount the same twice.
  const isCovered = (path: string) => targets.some((target) => path.startsWith(`${target}/`))
  const covered = layout.shared.filter(isCovered)
  const uncovered = layout.shared.filter((path) => !isCovered(path))
  const volumes = [...layout.volumes.map(volumeMount), ...covered.map((path) => sharedMount(`${nodeRoot}${path}`, path))]
  const frozen = layout.readOnlyRoot ? ['/', '/run', '/tmp', ...layout.closed].filter((path) => !targets.includes(path)) : []
  const enter = `set -e
mount -a -T ${stage}/mounts
cd ${root}
pivot_root . ${nodeRoot.slice(1)}
cd /
${layout.volumes
  .filter((volume) => volume.isFile)
  .map(({ target }) => `mkdir -p ${quote(target.replace(/\/[^/]*$/, '/'))}; : >> ${quote(target)}\n`)
  .join('')}${layout.volumes.length > 0 ? `mount -a -T ${nodeRoot}${stage}/volumes\n` : ''}mount --make-rslave ${nodeRoot}
umount -l ${nodeRoot}
rmdir ${nodeRoot}
${frozen.map((path) => `mount -o remount,bind,ro ${path}\n`).join('')}cd ${quote(layout.workingDirectory)}
echo ok >&3
PATH=$EVERYHOP_PATH
unset EVERYHOP_PATH OLDPWD
exec "$@" 2>&4 3>&- 4>&-
`
  return { start, enter, root: fstab(rootMounts(stage, layout.closed, uncovered)), volumes: fstab(volumes) }
}

function rootMounts(stage: string, closed: readonly string[], shared: readonly string[]): Mount[] {
  const root = `${stage}/root`
  return [
    {
      source: 'overlay',
      target: root,
      type: 'overlay',
      options: `lowerdir=${lowerDirectory},upperdir=${stage}/upper,workdir=${stage}/work`,
    },
    { source: 'proc', target: `${root}/proc`, type: 'proc', options: 'nosuid,nodev,noexec' },
    { source: 'sysfs', target: `${root}/sys`, type: 'sysfs', options: 'nosuid,nodev,noexec' },
    { source: '/sys/fs/cgroup', target: `${root}/sys/fs/cgroup`, options: 'rbind,rprivate' },
    { source: '/dev', target: `${root}/dev`, options: 'rbind,rprivate' },
    { source: 'everyhop', target: `${root}/run`, type: 'tmpfs', options: 'mode=0755' },
    { source: 'everyhop', target: `${root}/tmp`, type: 'tmpfs', options: 'mode=1777' },
    ...closed.map((path) => ({ source: 'everyhop', target: `${root}${path}`, type: 'tmpfs', options: 'mode=0755' })),
    ...shared.map((path) => sharedMount(path, `${root}${path}`)),
  ]
}

function sharedMount(source: string, target: string): Mount {
  return { source, target, options: 'rbind,rprivate,ro,X-mount.mkdir' }
}

const propagations: Readonly<Record<string, string>> = { None: ',rprivate', HostToContainer: ',rslave', Bidirectional: ',rshared' }

function volumeMount({ source, target, isFile, readOnly, propagation }: VolumeMount): Mount {
  const options = `rbind${propagations[propagation] ?? ''}${readOnly ? ',ro' : ''}${isFile ? '' : ',X-mount.mkdir'}`
  return { source: `${nodeRoot}${source}`, target, options }
}
