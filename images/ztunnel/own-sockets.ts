import { Socket } from 'node:net'
import { AF_INET, AF_INET6, SOCK_DGRAM } from '../lib/libc.ts'
import { socketInNetns } from '../lib/netns.ts'
import type { Placement } from './placement.ts'

/** Sockets in ztunnel's own namespace, without a mark: nothing captures them there. */
export const ownSockets: Pick<Placement, 'bindUdp' | 'dial'> = {
  bindUdp: (address) => socketInNetns(undefined, address.address.includes(':') ? AF_INET6 : AF_INET, SOCK_DGRAM, { bind: address }),
  dial: (to) => new Socket({ allowHalfOpen: true }).connect({ host: to.address, port: to.port }),
}
