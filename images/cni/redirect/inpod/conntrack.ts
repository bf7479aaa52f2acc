import { AF_NETLINK, c, check, SOCK_CLOEXEC, SOCK_RAW, SystemError } from '../../../lib/libc.ts'
import { inNetns } from '../../../lib/netns.ts'

const NETLINK_NETFILTER = 12
const NFNL_SUBSYS_CTNETLINK = 1
const IPCTNL_MSG_CT_DELETE = 2
const NLM_F_REQUEST = 1
const NLM_F_ACK = 4
const NLMSG_ERROR = 2
const HEADER = 16 // struct nlmsghdr

/**
 * Forgets every tracked connection of a namespace (both families). The next packet of a connection that began before the rules then meets them
 * as a new one does. Without it, a connection that conntrack knew before goes on around the proxy.
 * @param netns open descriptor
 */
export function flushConntrack(netns: number): void {
  // nlmsghdr and nfgenmsg (family AF_UNSPEC, version 0); a delete without attributes is a flush (nfnetlink_conntrack).
  const message = Buffer.alloc(HEADER + 4)
  message.writeUInt32LE(message.length, 0)
  message.writeUInt16LE((NFNL_SUBSYS_CTNETLINK << 8) | IPCTNL_MSG_CT_DELETE, 4)
  message.writeUInt16LE(NLM_F_REQUEST | NLM_F_ACK, 6)
  const answer = Buffer.alloc(512)
  inNetns(netns, () => {
    const fd = check('socket', c.socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER), 'netfilter netlink')
    try {
      check('send', c.send(fd, message, message.length, 0), 'conntrack flush')
      check('recv', c.recv(fd, answer, answer.length, 0), 'conntrack flush')
    } finally {
      c.close(fd)
    }
  })
  const code = answer.readUInt16LE(4) === NLMSG_ERROR ? -answer.readInt32LE(HEADER) : 0
  if (code !== 0) throw new SystemError('conntrack flush', code)
}
