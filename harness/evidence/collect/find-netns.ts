import { closeSync, fstatSync, openSync, readdirSync, readFileSync, statSync } from 'node:fs'

/** A pod whose namespace shall be watched. */
export interface PodReference {
  readonly namespace: string
  readonly name: string
  readonly uid: string
  /** `ztunnel`: its configuration is part of snapshots. */
  readonly role?: 'ztunnel' | undefined
}

/** A pod's namespace, held open: the process that led to it may be gone in the next moment. */
export interface FoundNetns {
  /** The caller's to close. */
  readonly fd: number
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
      const before = found.get(pod.uid)
      if (before && before.inode !== own) continue
      const fd = openSync(`${proc}/${pid}/ns/net`, 'r')
      if (before) closeSync(before.fd)
      found.set(pod.uid, { fd, inode: fstatSync(fd).ino })
    } catch {
      // The process ended while we looked.
    }
  }
  return found
}
