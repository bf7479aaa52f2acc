import { lowerDirectory, stageDirectory } from './root.ts'

export interface NodeInit {
  readonly name: string
  /** Directory on the host: holds `fstab`, and gets the tmpfs of the node's files at `mnt`. */
  readonly directory: string
}

/**
 * What the node's first process does, in namespaces of its own, before it becomes tini. Prints `pid N` (as the host counts) at once, and
 * `ready` when the node's files and sysctls are set.
 */
export function initScript({ name, directory }: NodeInit): string {
  const mnt = quote(`${directory}/mnt`)
  return `set -e
read -r pid rest < /proc/self/stat
echo "pid $pid"
mount -t tmpfs -o mode=0755 everyhop ${mnt}
cd ${mnt}
mkdir upper work root
mount -a -T ${quote(`${directory}/fstab`)}
cd root
mkdir run/.host
pivot_root . run/.host
cd /
umount -l /run/.host
rmdir /run/.host
# Shared, as on a real node: what the kubelet or an agent mounts here reaches the containers that asked for it.
mount --make-rshared /
mount --make-private ${stageDirectory}
mount --make-private ${lowerDirectory}
hostname ${quote(name)}
ip link set lo up
echo 1 > /proc/sys/net/ipv4/ip_forward
echo 1 > /proc/sys/net/ipv4/conf/all/rp_filter
echo ready
exec tini -- sleep infinity < /dev/null > /dev/null 2>&1
`
}

/** One word of sh(1). */
export function quote(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`
}
