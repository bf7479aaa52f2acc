import { execFileSync } from 'node:child_process'
import {
  AF_INET,
  AF_NETLINK,
  AF_PACKET,
  c,
  check,
  IP_TRANSPARENT,
  int32,
  SO_REUSEADDR,
  SOCK_DGRAM,
  SOCK_RAW,
  SOCK_STREAM,
  SOL_IP,
  SOL_SOCKET,
} from '../../../images/lib/libc.ts'
import { sockaddr, socketInNetns } from '../../../images/lib/netns.ts'

// Run as a program in a network namespace of its own: uses each kind of socket once and prints `{probe: problem or null}` as JSON.

// Linux uapi: netlink.h, nfnetlink_compat.h and nfnetlink.h, sock_diag.h, if_packet.h, socket.h.
const NETLINK_SOCK_DIAG = 4
const NETLINK_NETFILTER = 12
const NFNLGRP_CONNTRACK_NEW = 1
const NFNLGRP_NFTRACE = 9
const SKNLGRP_INET_TCP_DESTROY = 1
const SOL_PACKET = 263
const PACKET_RX_RING = 5
const PACKET_VERSION = 10
const TPACKET_V3 = 2
const SO_RCVTIMEO = 20

/** One datagram to the discard port makes both a trace line and a conntrack entry. */
const rules = `table ip everyhop_doctor {
  chain trace { type filter hook output priority -400; meta nftrace set 1; }
  chain track { type filter hook output priority 0; ct state new counter; }
}
`

const probes = {
  nftrace: () => awaitEvent(NETLINK_NETFILTER, NFNLGRP_NFTRACE, sendDatagram),
  'conntrack-events': () => awaitEvent(NETLINK_NETFILTER, NFNLGRP_CONNTRACK_NEW, sendDatagram),
  'socket-events': () => awaitEvent(NETLINK_SOCK_DIAG, SKNLGRP_INET_TCP_DESTROY, connectAndClose),
  'tpacket-v3': () =>
    using(check('socket', c.socket(AF_PACKET, SOCK_RAW, 0)), (fd) => {
      check('PACKET_VERSION', c.setsockopt(fd, SOL_PACKET, PACKET_VERSION, int32(TPACKET_V3), 4))
      // struct tpacket_req3: two blocks of 64 KiB in frames of 2 KiB, handed over after 10 ms.
      const ring = Buffer.from(Uint32Array.of(1 << 16, 2, 1 << 11, 64, 10, 0, 0).buffer)
      check('PACKET_RX_RING', c.setsockopt(fd, SOL_PACKET, PACKET_RX_RING, ring, ring.length))
    }),
  transparent: () =>
    using(
      socketInNetns(undefined, AF_INET, SOCK_STREAM, {
        mark: 0x539,
        options: [[SOL_IP, IP_TRANSPARENT, 1]],
        bind: { address: '192.0.2.1', port: 0 },
      }),
      () => {},
    ),
}
export type SocketProbe = keyof typeof probes

function using(fd: number, use: (fd: number) => void): void {
  try {
    use(fd)
  } finally {
    c.close(fd)
  }
}

/** Joins a multicast group, causes an event and waits a second for a message. */
function awaitEvent(protocol: number, group: number, cause: () => void): void {
  using(check('socket', c.socket(AF_NETLINK, SOCK_RAW, protocol)), (fd) => {
    const address = Buffer.alloc(12) // struct sockaddr_nl: family, pad, port id, groups as a bit mask
    address.writeUInt16LE(AF_NETLINK, 0)
    address.writeUInt32LE(1 << (group - 1), 8)
    check('bind', c.bind(fd, address, address.length), `multicast group ${group}`)
    const second = Buffer.from(BigUint64Array.of(1n, 0n).buffer) // struct timeval
    check('SO_RCVTIMEO', c.setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, second, second.length))
    cause()
    if (c.recv(fd, Buffer.alloc(8192), 8192, 0) <= 0) throw new Error('no event came within a second')
  })
}

function sendDatagram(): void {
  using(socketInNetns(undefined, AF_INET, SOCK_DGRAM), (fd) => {
    const to = sockaddr(AF_INET, '127.0.0.1', 9)
    check('connect', c.connect(fd, to, to.length))
    check('send', c.send(fd, Buffer.from('everyhop'), 8, 0))
  })
}

function connectAndClose(): void {
  const at = { address: '127.0.0.1', port: 9 }
  const listener = socketInNetns(undefined, AF_INET, SOCK_STREAM, { options: [[SOL_SOCKET, SO_REUSEADDR, 1]], bind: at })
  using(listener, () => {
    check('listen', c.listen(listener, 1))
    using(check('socket', c.socket(AF_INET, SOCK_STREAM, 0)), (fd) => {
      const to = sockaddr(AF_INET, at.address, at.port)
      check('connect', c.connect(fd, to, to.length))
    })
  })
}

if (import.meta.main) {
  const prepare = (): string | null => {
    try {
      execFileSync('ip', ['link', 'set', 'lo', 'up'], { stdio: ['ignore', 'ignore', 'pipe'] })
      execFileSync('nft', ['-f', '-'], { input: rules, stdio: ['pipe', 'ignore', 'pipe'] })
      return null
    } catch (error) {
      return (error as Error).message.split('\n').slice(0, 2).join(' ')
    }
  }
  const notPrepared = prepare()
  const entries = Object.entries(probes).map(([id, probe]) => {
    try {
      probe()
      return [id, null]
    } catch (error) {
      return [id, [(error as Error).message, notPrepared].filter((x) => x !== null).join('; ')]
    }
  })
  console.log(JSON.stringify(Object.fromEntries(entries)))
}
