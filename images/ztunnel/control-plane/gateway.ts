import type { GatewayAddress } from '../../lib/xds/messages.ts'
import { canonicalAddress } from '../address.ts'
import type { Waypoint } from '../state/types.ts'

/** An address of 4 or 16 bytes as canonical text. @throws Error naming the place */
export function addressText(bytes: Uint8Array, place: string): string {
  if (bytes.length !== 4 && bytes.length !== 16) throw new Error(`${place}: an address of ${bytes.length} bytes, expected 4 or 16`)
  if (bytes.length === 4) return bytes.join('.')
  const words = Array.from({ length: 8 }, (_, i) => ((bytes[2 * i]! << 8) | bytes[2 * i + 1]!).toString(16))
  return canonicalAddress(words.join(':'))!
}

/** `<namespace>/<hostname>` or `<network>/<ip>`, whichever is set. @throws Error naming the place */
export function gateway(from: GatewayAddress, place: string): Waypoint {
  const { hostname, address, hboneMtlsPort } = from
  if (hostname) return { destination: `${hostname.namespace}/${hostname.hostname}`, hboneMtlsPort }
  if (address) return { destination: `${address.network}/${addressText(address.address, place)}`, hboneMtlsPort }
  throw new Error(`${place}: neither hostname nor address is set`)
}

/** Looks a number or name of an enumeration up. @throws Error naming the place when this ztunnel does not know it */
export function known<T>(table: Readonly<Record<string, T>>, value: string | number, place: string): T {
  const found = Object.hasOwn(table, value) ? table[value] : undefined
  if (found === undefined) throw new Error(`${place}: unknown value ${value}`)
  return found
}
