/**
 * `reuse-ports UID...`: on a node, lets its pods' connections take ports of those that have just ended. A load on new connections has used up all others within half a minute, and then measures the search for one.
 */
import { execFileSync } from 'node:child_process'
import { findNetns } from '../../harness/evidence/collect/find-netns.ts'

const settings = ['net.ipv4.tcp_tw_reuse=1', 'net.ipv4.ip_local_port_range=1024 65535']

const uids = process.argv.slice(2)
const found = findNetns(uids)
for (const uid of uids) {
  const netns = found.get(uid)
  if (!netns) throw new Error(`pod ${uid} has no process on this node`)
  execFileSync('nsenter', [`--net=/proc/${process.pid}/fd/${netns.fd}`, 'sysctl', '-qw', ...settings])
}
