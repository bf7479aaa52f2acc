import ipaddr from 'ipaddr.js'
import { endpoint } from '../../../images/lib/endpoint.ts'

/** 4 or 16 address bytes as text (RFC 5952); IPv4-mapped addresses as plain IPv4. */
export function addressText(bytes: Buffer): string {
  if (bytes.length === 4) return `${bytes[0]}.${bytes[1]}.${bytes[2]}.${bytes[3]}`
  const address = ipaddr.fromByteArray([...bytes])
  return address instanceof ipaddr.IPv6 && address.isIPv4MappedAddress() ? address.toIPv4Address().toString() : address.toString()
}

/** `10.244.0.5:8080`, `[fd00::5]:8080` */
export function endpointText(address: Buffer, port: number): string {
  return endpoint(addressText(address), port)
}

/** `02:42:ac:11:00:02` */
export function macText(bytes: Buffer): string {
  return Array.from(bytes, (x) => x.toString(16).padStart(2, '0')).join(':')
}
