import ipaddr from 'ipaddr.js'

/** 4 or 16 bytes; undefined for text that is no address. */
export function addressBytes(text: string): Uint8Array | undefined {
  return ipaddr.isValid(text) && !text.includes('%') ? Uint8Array.from(ipaddr.parse(text).toByteArray()) : undefined
}

/** A block of addresses; an address alone is a block of one. Undefined for text that is neither. */
export function addressBlock(text: string): { address: Uint8Array; length: number } | undefined {
  if (ipaddr.isValidCIDR(text)) {
    const [address, length] = ipaddr.parseCIDR(text)
    return { address: Uint8Array.from(address.toByteArray()), length }
  }
  const address = addressBytes(text)
  return address && { address, length: address.length * 8 }
}

/** @param bytes 4 or 16 */
export function addressText(bytes: Uint8Array): string {
  return ipaddr.fromByteArray([...bytes]).toString()
}
