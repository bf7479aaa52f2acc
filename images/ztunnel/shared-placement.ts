import { Socket } from 'node:net'
import { networkInterfaces } from 'node:os'
import * as lib from '../lib/libc.ts'
import { socketInNetns } from '../lib/netns.ts'
import type { Address } from './address.ts'
import type { Placement } from './placement.ts'
import { isWildcard, originalTarget, setTransparent, tcpOptions, transparentOption } from './socket-options.ts'

/**
 * Sockets in ztunnel's own namespace, for one pod of its node: what is dialled has the pod's address, or that of whoever is spoken for
 * (fact sheet: iptables mode, 2.5).
 * @param pod the pod's address; undefined: ztunnel's own listeners
 */
export function sharedPlacement(pod?: string): Placement {
  const familyOf = (address: string) => (address.includes(':') ? lib.AF_INET6 : lib.AF_INET)
  return {
    // The mode captures IPv4 only.
    wildcard: '0.0.0.0',
    // Questions are sent on to ztunnel's address by the node.
    loopbacks: ['0.0.0.0'],
    bindTcp(address) {
      const options = { reuseAddress: true, options: tcpOptions, bind: address }
      const fd = socketInNetns(undefined, familyOf(address.address), lib.SOCK_STREAM, options)
      try {
        // TPROXY hands connections over to no other listener.
        if (isWildcard(address.address)) setTransparent(fd, familyOf(address.address), true)
      } catch (error) {
        lib.c.close(fd)
        throw error
      }
      return fd
    },
    bindUdp: (address) => socketInNetns(undefined, familyOf(address.address), lib.SOCK_DGRAM, { bind: address }),
    dial(to: Address, source = pod) {
      const family = familyOf(to.address)
      // A connection from an address to itself would never leave this namespace.
      const keep = source !== undefined && source !== to.address && familyOf(source) === family
      const fd = socketInNetns(undefined, family, lib.SOCK_STREAM, {
        options: keep ? [...tcpOptions, transparentOption(family)] : tcpOptions,
        ...(keep && { bind: { address: source, port: 0 } }),
      })
      // Wrapped and connected in one turn: a turn between them lets libuv see an unconnected socket and give it up.
      return new Socket({ fd, allowHalfOpen: true }).connect({ host: to.address, port: to.port })
    },
    // TPROXY leaves the client's destination in place: that it is the socket's own address tells nothing.
    target: (socket) => ({ target: originalTarget(socket).target, direct: false }),
    addresses: () => (pod === undefined ? ownAddresses() : [pod]),
    close() {},
  }
}

function ownAddresses(): string[] {
  return Object.values(networkInterfaces()).flatMap((all) => (all ?? []).filter((a) => !a.internal).map((a) => a.address))
}
