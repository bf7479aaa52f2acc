import { readdirSync, readFileSync, statSync } from 'node:fs'

/** A pod whose namespace shall be watched. */
export interface PodReference {
  readonly namespace: string
  readonly name: string
  readonly uid: string
  /** `ztunnel`: its configuration is part of snapshots. */
  readonly role?: 'ztunnel' | undefined
}

/** Which namespace file belongs to a pod: `/proc/PID/ns/net` of one of its processes. */
export interface FoundNetns {
  readonly path: string
  /** Tells namespaces apart. */
  readonly inode: number
}

/**
 * Finds pods' network namespaces as anything on a node can: by processes whose cgroup names the pod's uid (with dashes by the kubelet's cgroupfs driver, with underscores by its systemd driver).
 * A process that is still (a container being started) or for ever (hostNetwork) in the node's namespace counts only when the pod has no other.
 * @returns by uid; pods without a process are not in it
 */
export function findNetns(uids: readonly string[], proc = '/proc'): Map<string, FoundNetns> {
  const found = new Map<string, FoundNetns>()
  const own = statSync(`${proc}/self/ns/net`).ino
  const wanted = uids.map((uid) => ({ uid, spellings: [uid, uid.replaceAll('-', '_')] }))
  for (const pid of readdirSync(proc)) {
    if (!/^\d+$/.test(pid)) continue
    try {
      const cgroup = readFileSync(`${proc}/${pid}/cgroup`, 'utf8')
      const pod = wanted.find(({ spellings }) => spellings.some((s) => cgroup.includes(s)))
      if (!pod) continue
      const path = `${proc}/${pid}/ns/net`
      const { ino } = statSync(path)
      if (!found.has(pod.uid) || found.get(pod.uid)!.inode === own) found.set(pod.uid, { path, inode: ino })
    } catch {
      // The process ended while we looked.
    }
  }
  return found
}
