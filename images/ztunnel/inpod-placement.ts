import { closeSync, readFileSync } from 'node:fs'
import { Socket } from 'node:net'
import { networkInterfaces } from 'node:os'
import * as lib from '../lib/libc.ts'
import { inNetns, parseSockaddr, socketInNetns } from '../lib/netns.ts'
import { type Address, canonicalAddress } from './address.ts'
import type { Config } from './config.ts'
import type { Placement } from './placement.ts'
import type { Release } from './release.ts'

const SO_KEEPALIVE = 9
const SOL_TCP = 6
const TCP_NODELAY = 1
const TCP_KEEPIDLE = 4
const TCP_KEEPINTVL = 5
const TCP_KEEPCNT = 6

/** 180 s, 180 s, 9 probes (fact sheet: in-pod mode, 4.1); accepted sockets inherit all of them. */
const tcpOptions: [number, number, number][] = [
  [lib.SOL_SOCKET, SO_KEEPALIVE, 1],
  [SOL_TCP, TCP_KEEPIDLE, 180],
  [SOL_TCP, TCP_KEEPINTVL, 180],
  [SOL_TCP, TCP_KEEPCNT, 9],
  [SOL_TCP, TCP_NODELAY, 1],
]

/**
 * All sockets in one pod's network namespace, each with the mark that keeps them from being captured.
 * @param netns open namespace descriptor; closed by `close`
 */
export function inpodPlacement(netns: number, config: Config, release: Pick<Release, 'listenersMustBeTransparent'>): Placement {
  const ipv6 = config.ipv6Enabled && hasIpv6(netns)
  const familyOf = (address: string) => (address.includes(':') ? lib.AF_INET6 : lib.AF_INET)
  const options = (type: number, address: Address) => ({
    mark: config.packetMark,
    reuseAddress: type === lib.SOCK_STREAM,
    // A port of the kernel's choice must be ours alone.
    reusePort: config.inpodPortReuse && address.port !== 0,
    options: [
      ...(type === lib.SOCK_STREAM ? tcpOptions : []),
      ...(familyOf(address.address) === lib.AF_INET6
        ? [[lib.SOL_IPV6, lib.IPV6_V6ONLY, address.address === '::' ? 0 : 1] as [number, number, number]]
        : []),
    ],
    bind: address,
  })
  const keepSource = config.requireOriginalSource !== false
  const transparent = release.listenersMustBeTransparent || config.requireOriginalSource === true ? 'required' : keepSource
  let closed = false
  // The descriptor's number may be another file's by now.
  const namespace = () => {
    if (closed) throw new Error('the pod is gone')
    return netns
  }
  return {
    wildcard: ipv6 ? '::' : '0.0.0.0',
    loopbacks: ipv6 && loopbackHasIpv6(netns) ? ['127.0.0.1', '::1'] : ['127.0.0.1'],
    bindTcp(address) {
      const fd = socketInNetns(namespace(), familyOf(address.address), lib.SOCK_STREAM, options(lib.SOCK_STREAM, address))
      try {
        if (transparent && isWildcard(address.address)) setTransparent(fd, familyOf(address.address), transparent === 'required')
      } catch (error) {
        lib.c.close(fd)
        throw error
      }
      return fd
    },
    bindUdp: (address) => socketInNetns(namespace(), familyOf(address.address), lib.SOCK_DGRAM, options(lib.SOCK_DGRAM, address)),
    dial(to, source) {
      const family = familyOf(to.address)
      const keep = keepSource && source !== undefined && familyOf(source) === family
      const fd = socketInNetns(namespace(), family, lib.SOCK_STREAM, {
        mark: config.packetMark,
        options: keep ? [...tcpOptions, transparentOption(family)] : tcpOptions,
        ...(keep && { bind: { address: source, port: 0 } }),
      })
      // Wrapped and connected in one turn: a turn between them lets libuv see an unconnected socket and give it up.
      const socket = new Socket({ fd, allowHalfOpen: true })
      socket.connect({ host: to.address, port: to.port })
      return socket
    },
    target: originalTarget,
    addresses: () => (closed ? [] : inNetns(netns, ownAddresses)),
    close() {
      if (closed) return
      closed = true
      closeSync(netns)
    },
  }
}

const isWildcard = (address: string) => address === '::' || address === '0.0.0.0'

function transparentOption(family: number): [number, number, number] {
  return family === lib.AF_INET6 ? [lib.SOL_IPV6, lib.IPV6_TRANSPARENT, 1] : [lib.SOL_IP, lib.IP_TRANSPARENT, 1]
}

function setTransparent(fd: number, family: number, required: boolean): void {
  const [level, name] = transparentOption(family)
  const result = lib.c.setsockopt(fd, level, name, lib.int32(1), 4)
  if (required) lib.check('setsockopt', result, 'IP_TRANSPARENT, which ENABLE_ORIG_SRC=true and redirection by TPROXY require')
}

function ownAddresses(): string[] {
  return Object.values(networkInterfaces()).flatMap((all) => (all ?? []).filter((a) => !a.internal).map((a) => a.address))
}

function hasIpv6(netns: number): boolean {
  try {
    lib.c.close(socketInNetns(netns, lib.AF_INET6, lib.SOCK_STREAM))
    return true
  } catch {
    return false
  }
}

/** A pod's lo can have IPv6 switched off while the rest has it on: `[::1]` cannot be bound then. */
function loopbackHasIpv6(netns: number): boolean {
  try {
    return inNetns(netns, () => readFileSync('/proc/sys/net/ipv6/conf/lo/disable_ipv6', 'utf8')).trim() === '0'
  } catch {
    return false
  }
}

/** SO_ORIGINAL_DST for IPv4, then for IPv6, else the socket's own address (fact sheet: in-pod mode, 1.6). */
function originalTarget(socket: Socket): { target: Address; direct: boolean } {
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
