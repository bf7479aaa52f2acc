import { closeSync, openSync, readFileSync } from 'node:fs'
import {
  AF_INET6,
  CLONE_NEWNET,
  c,
  check,
  int32,
  SO_MARK,
  SO_REUSEADDR,
  SO_REUSEPORT,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOL_SOCKET,
} from './libc.ts'

// The thread pool's threads must be born outside any window: a thread created inside would stay in that namespace for ever.
readFileSync('/proc/self/stat')
const home = openSync('/proc/thread-self/ns/net', 'r')

/**
 * Runs `fn` with the main thread in the network namespace `netns` (an open namespace descriptor).
 * `fn` must be synchronous and make system calls only: no file access through the thread pool, no timers.
 * Sockets made inside stay in that namespace. Aborts the process if the way back fails: running on in a stranger's namespace is worse.
 */
export function inNetns<T>(netns: number, fn: () => T): T {
  check('setns', c.setns(netns, CLONE_NEWNET), `network namespace fd ${netns}`)
  try {
    return fn()
  } finally {
    if (c.setns(home, CLONE_NEWNET) !== 0) process.abort()
  }
}

/** Opens a namespace file (`/proc/PID/ns/net`, `/var/run/netns/NAME`), runs `fn` inside, closes the file again. */
export function inNetnsAt<T>(path: string, fn: () => T): T {
  const fd = openSync(path, 'r')
  try {
    return inNetns(fd, fn)
  } finally {
    closeSync(fd)
  }
}

export interface SocketOptions {
  /** SO_MARK; accepted sockets inherit it from their listener. */
  readonly mark?: number
  /** SO_REUSEADDR. @default false */
  readonly reuseAddress?: boolean
  /** SO_REUSEPORT. @default false */
  readonly reusePort?: boolean
  /** Extra options as [level, name, int value], set before bind; errors throw. */
  readonly options?: readonly (readonly [level: number, name: number, value: number])[]
  /** Address to bind; none: unbound. */
  readonly bind?: { readonly address: string; readonly port: number }
}

/**
 * A new non-blocking, close-on-exec socket in `netns` (undefined: this process's own), not connected and not listening.
 * Hand it to `net.Server.listen({ fd })`, or to `new net.Socket({ fd })` and connect it in the same tick.
 * @param family AF_INET or AF_INET6
 * @param type SOCK_STREAM or SOCK_DGRAM
 */
export function socketInNetns(netns: number | undefined, family: number, type: number, options: SocketOptions = {}): number {
  const make = () => {
    const fd = check('socket', c.socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0))
    try {
      const set = (level: number, name: number, value: number) =>
        check('setsockopt', c.setsockopt(fd, level, name, int32(value), 4), `level ${level}, option ${name}`)
      if (options.mark !== undefined) set(SOL_SOCKET, SO_MARK, options.mark)
      if (options.reuseAddress) set(SOL_SOCKET, SO_REUSEADDR, 1)
      if (options.reusePort) set(SOL_SOCKET, SO_REUSEPORT, 1)
      for (const [level, name, value] of options.options ?? []) set(level, name, value)
      if (options.bind) {
        const address = sockaddr(family, options.bind.address, options.bind.port)
        check('bind', c.bind(fd, address, address.length), `${options.bind.address} port ${options.bind.port}`)
      }
      return fd
    } catch (error) {
      c.close(fd)
      throw error
    }
  }
  return netns === undefined ? make() : inNetns(netns, make)
}

/** A sockaddr_in (16 bytes) or sockaddr_in6 (28 bytes); an IPv4 address in an AF_INET6 sockaddr becomes v4-mapped. */
export function sockaddr(family: number, address: string, port: number): Buffer {
  if (family === AF_INET6) {
    const b = Buffer.alloc(28)
    b.writeUInt16LE(family, 0)
    b.writeUInt16BE(port, 2)
    ipv6Bytes(address).copy(b, 8)
    return b
  }
  const b = Buffer.alloc(16)
  b.writeUInt16LE(family, 0)
  b.writeUInt16BE(port, 2)
  ipv4Bytes(address).copy(b, 4)
  return b
}

/** The address and port in a sockaddr_in or sockaddr_in6; v4-mapped addresses are unmapped. */
export function parseSockaddr(b: Buffer): { address: string; port: number } {
  const port = b.readUInt16BE(2)
  if (b.readUInt16LE(0) !== AF_INET6) return { address: [...b.subarray(4, 8)].join('.'), port }
  const bytes = b.subarray(8, 24)
  if (bytes.subarray(0, 10).every((x) => x === 0) && bytes.readUInt16BE(10) === 0xffff)
    return { address: [...bytes.subarray(12)].join('.'), port }
  const groups = Array.from({ length: 8 }, (_, i) => bytes.readUInt16BE(i * 2).toString(16)).join(':')
  return {
    address: groups
      .replace(/\b0(:0)+\b/, ':')
      .replace(/^:(?!:)|(?<!:):$/, '::')
      .replace(/:{3,}/, '::'),
    port,
  }
}

function ipv4Bytes(address: string): Buffer {
  const parts = address.split('.').map(Number)
  if (parts.length !== 4 || parts.some((x) => !Number.isInteger(x) || x < 0 || x > 255))
    throw new TypeError(`not an IPv4 address: ${address}`)
  return Buffer.from(parts)
}

function ipv6Bytes(address: string): Buffer {
  const b = Buffer.alloc(16)
  if (!address.includes(':')) {
    b.writeUInt16BE(0xffff, 10)
    ipv4Bytes(address).copy(b, 12)
    return b
  }
  const [head = '', tail] = address.split('::')
  const words = (s: string) => (s === '' ? [] : s.split(':').map((w) => Number.parseInt(w, 16)))
  const left = words(head)
  const right = tail === undefined ? [] : words(tail)
  const all = tail === undefined ? left : [...left, ...Array.from({ length: 8 - left.length - right.length }, () => 0), ...right]
  if (all.length !== 8 || all.some((w) => Number.isNaN(w) || w > 0xffff)) throw new TypeError(`not an IPv6 address: ${address}`)
  all.forEach((w, i) => {
    b.writeUInt16BE(w, i * 2)
  })
  return b
}
