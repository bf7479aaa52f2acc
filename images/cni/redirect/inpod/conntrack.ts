import { AF_NETLINK, c, check, SOCK_CLOEXEC, SOCK_RAW, SystemError } from '../../../lib/libc.ts'
import { inNetns } from '../../../lib/netns.ts'

const NETLINK_NETFILTER = 12
const NFNL_SUBSYS_CTNETLINK = 1
const IPCTNL_MSG_CT_DELETE = 2
const NLM_F_REQUEST = 1
const NLM_F_ACK = 4
const NLMSG_ERROR = 2
const HEADER = 16 // struct nlmsghdr
const CTA_STATUS = 3
const CTA_MARK = 8
const CTA_MARK_MASK = 21
const CTA_STATUS_MASK = 26
const IPS_DST_NAT = 0x20
/** Attributes of the entries to forget. */
const filters = {
  all: [],
  /** Neither on their way to the proxy (their destination is translated) nor marked by it. */
  untouched: [
    [CTA_STATUS, 0],
    [CTA_STATUS_MASK, IPS_DST_NAT],
    [CTA_MARK, 0],
    [CTA_MARK_MASK, 0xfff],
  ],
  /** What comes to the proxy by a changed destination. */
  translated: [
    [CTA_STATUS, IPS_DST_NAT],
    [CTA_STATUS_MASK, IPS_DST_NAT],
  ],
} as const

/** struct nlattr with a 32-bit value in network order. */
function attribute(type: number, value: number): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeUInt16LE(bytes.length, 0)
  bytes.writeUInt16LE(type, 2)
  bytes.writeUInt32BE(value, 4)
  return bytes
}

/**
 * Forgets tracked connections of a namespace (both families), by default every one. The next packet of a connection that began before the rules then meets them
 * as a new one does. Without it, a connection that conntrack knew before goes on around the proxy.
 * @param netns open descriptor
 * @param which kernels before 5.10 forget all the same
 */
export function flushConntrack(netns: number, which: keyof typeof filters = 'all'): void {
  // nlmsghdr and nfgenmsg (family AF_UNSPEC, version 0); a delete without attributes is a flush (nfnetlink_conntrack).
  const filter = Buffer.concat(filters[which].map(([type, value]) => attribute(type, value)))
  const message = Buffer.concat([Buffer.alloc(HEADER + 4), filter])
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
