import { BlockList, isIP, isIPv4, SocketAddress } from 'node:net'

/** An IP address (canonical text) and a port. */
export interface Address {
  readonly address: string
  readonly port: number
}

/** One text for each address: v4-mapped IPv6 becomes IPv4, IPv6 is shortened as the kernel prints it. Undefined if it is no address. */
export function canonicalAddress(text: string): string | undefined {
  if (isIPv4(text)) return text
  if (isIP(text) === 0 || text.includes('%')) return undefined
  const address = new SocketAddress({ address: text, family: 'ipv6' }).address
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)
  return mapped ? mapped[1] : address
}

export function formatAddress({ address, port }: Address): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`
}

/** The target of a CONNECT: `ip:port`, `[ip]:port` or `hostname:port`. Undefined if it is none of them. */
export function parseAuthority(authority: string): (Address & { hostname?: undefined }) | { hostname: string; port: number } | undefined {
  const found = /^(?:\[([0-9A-Fa-f:.]+)\]|([^:[\]@/\s]+)):(\d{1,5})$/.exec(authority)
  if (!found) return undefined
  const port = Number(found[3])
  if (port < 1 || port > 65_535) return undefined
  const address = canonicalAddress(found[1] ?? found[2]!)
  if (address) return { address, port }
  if (found[1] !== undefined || !/^[A-Za-z0-9]([A-Za-z0-9._-]{0,252})$/.test(found[2]!) || /^[\d.]+$/.test(found[2]!)) return undefined
  return { hostname: found[2]!.toLowerCase(), port }
}

export function isLoopback(address: string): boolean {
  return address === '::1' || (isIPv4(address) && address.startsWith('127.'))
}

/** The set of addresses that well-formed CIDRs or addresses describe. */
export function blockList(cidrs: readonly string[]): BlockList {
  const set = new BlockList()
  for (const cidr of cidrs) {
    const [address = '', length] = cidr.split('/')
    const family = isIPv4(address) ? 'ipv4' : 'ipv6'
    set.addSubnet(address, length === undefined ? (family === 'ipv4' ? 32 : 128) : Number(length), family)
  }
  return set
}
