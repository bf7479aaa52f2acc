import {
  AF_INET,
  c,
  check,
  errno,
  SO_ERROR,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOL_SOCKET,
  SystemError,
} from '../../../images/lib/libc.ts'
import { inNetns, sockaddr } from '../../../images/lib/netns.ts'
import { markerPort } from './trace-rules.ts'

/** Exactly so many ASCII characters: what a rule trace shows of a UDP payload (20 bytes from the transport header on). */
export const markerLength = 12
const ECONNREFUSED = 111
const IPPROTO_UDP = 17

/** Throws when `marker` is not twelve printable ASCII characters. */
export function checkMarker(marker: unknown): asserts marker is string {
  if (typeof marker !== 'string' || !/^[!-~]{12}$/.test(marker))
    throw new TypeError(`marker ${JSON.stringify(marker)}: must be exactly ${markerLength} printable ASCII characters without spaces`)
}

/** Sends markers over lo of one namespace. Its socket is connected, so it is in no list of listeners. */
export class MarkerSocket {
  readonly #fd: number

  constructor(netns: number) {
    this.#fd = inNetns(netns, () => check('socket', c.socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), 'marker'))
    const to = sockaddr(AF_INET, '127.0.0.1', markerPort)
    if (c.connect(this.#fd, to, to.length) !== 0) {
      const error = new SystemError('connect', errno(), 'marker to 127.0.0.1: is lo up?')
      c.close(this.#fd)
      throw error
    }
  }

  send(marker: string): void {
    const bytes = Buffer.from(marker, 'latin1')
    // Nobody listens: the answer to the last marker may still wait here as an error.
    c.getsockopt(this.#fd, SOL_SOCKET, SO_ERROR, Buffer.alloc(4), [4] as unknown as number)
    if (c.send(this.#fd, bytes, bytes.length, 0) === bytes.length) return
    if (errno() !== ECONNREFUSED || Number(c.send(this.#fd, bytes, bytes.length, 0)) !== bytes.length)
      throw new SystemError('send', errno(), 'marker over lo')
  }

  close(): void {
    c.close(this.#fd)
  }
}

/** The marker in an Ethernet frame, if it is one. */
export function markerInPacket(data: Buffer): string | undefined {
  // Ethernet, IPv4 without options, UDP: 14 + 20 + 8 bytes before the payload.
  if (data.length < 42 + markerLength || data.readUInt32BE(12) >>> 8 !== 0x080045 || data[23] !== IPPROTO_UDP) return undefined
  return data.readUInt16BE(36) === markerPort && data[30] === 127 ? data.toString('latin1', 42, 42 + markerLength) : undefined
}

/** The marker in a trace line's headers, if it is one. */
export function markerInTrace(nh: string | undefined, th: string | undefined): string | undefined {
  if (nh === undefined || th === undefined || th.length < 2 * (8 + markerLength) || nh.slice(18, 20) !== '11') return undefined
  return Number.parseInt(th.slice(4, 8), 16) === markerPort
    ? Buffer.from(th.slice(16), 'hex').toString('latin1', 0, markerLength)
    : undefined
}
