import type { Socket } from 'node:net'
import * as lib from '../lib/libc.ts'
import { parseSockaddr } from '../lib/netns.ts'
import { type Address, canonicalAddress } from './address.ts'

const SO_KEEPALIVE = 9
const SOL_TCP = 6
const TCP_NODELAY = 1
const TCP_KEEPIDLE = 4
const TCP_KEEPINTVL = 5
const TCP_KEEPCNT = 6

/** 180 s, 180 s, 9 probes (fact sheet: in-pod mode, 4.1); accepted sockets inherit all of them. */
export const tcpOptions: [number, number, number][] = [
  [lib.SOL_SOCKET, SO_KEEPALIVE, 1],
  [SOL_TCP, TCP_KEEPIDLE, 180],
  [SOL_TCP, TCP_KEEPINTVL, 180],
  [SOL_TCP, TCP_KEEPCNT, 9],
  [SOL_TCP, TCP_NODELAY, 1],
]

export const isWildcard = (address: string) => address === '::' || address === '0.0.0.0'

export function transparentOption(family: number): [number, number, number] {
  return family === lib.AF_INET6 ? [lib.SOL_IPV6, lib.IPV6_TRANSPARENT, 1] : [lib.SOL_IP, lib.IP_TRANSPARENT, 1]
}

export function setTransparent(fd: number, family: number, required: boolean): void {
  const [level, name] = transparentOption(family)
  const result = lib.c.setsockopt(fd, level, name, lib.int32(1), 4)
  if (required) lib.check('setsockopt', result, 'IP_TRANSPARENT, which ENABLE_ORIG_SRC=true and redirection by TPROXY require')
}

/** SO_ORIGINAL_DST for IPv4, then for IPv6, else the socket's own address (fact sheet: in-pod mode, 1.6). */
export function originalTarget(socket: Socket): { target: Address; direct: boolean } {
  const local = { address: canonicalAddress(socket.localAddress ?? '') ?? '', port: socket.localPort ?? 0 }
  const fd = (socket as unknown as { _handle?: { fd: number } })._handle?.fd ?? -1
  const target = originalDestination(fd, lib.SOL_IP, 16) ?? originalDestination(fd, lib.SOL_IPV6, 28) ?? local
  return { target, direct: target.address === local.address && target.port === local.port }
}

function originalDestination(fd: number, level: number, size: number): Address | undefined {
  const buffer = Buffer.alloc(size)
  if (lib.c.getsockopt(fd, level, lib.SO_ORIGINAL_DST, buffer, [size]) !== 0) return undefined
  return parseSockaddr(buffer)
}
