import { closeSync, readFileSync } from 'node:fs'
import { Socket } from 'node:net'
import { networkInterfaces } from 'node:os'
import * as lib from '../lib/libc.ts'
import { inNetns, socketInNetns } from '../lib/netns.ts'
import type { Address } from './address.ts'
import type { Config } from './config.ts'
import type { Placement } from './placement.ts'
import type { Release } from './release.ts'
import { isWildcard, originalTarget, setTransparent, tcpOptions, transparentOption } from './socket-options.ts'

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
