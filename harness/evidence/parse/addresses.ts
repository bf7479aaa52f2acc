import ipaddr from 'ipaddr.js'

/** Texts of addresses and endpoints, each made once: a capture holds few different ones. */
const v4 = new Map<number, string>()
const v6 = new Map<string, string>()
const macs = new Map<number, string>()
/** Bounds what a capture full of random addresses can make these hold. */
const MOST = 1 << 16

function remember<K>(map: Map<K, string>, key: K, text: string): string {
  if (map.size >= MOST) map.clear()
  map.set(key, text)
  return text
}

/** IPv4 address and port as `10.244.0.5:8080`; port −1: none, the address alone. */
export function endpoint4(view: DataView, at: number, port: number): string {
  const key = view.getUint32(at) * 0x2_0000 + port + 1
  return (
    v4.get(key) ??
    remember(v4, key, withPort(`${view.getUint8(at)}.${view.getUint8(at + 1)}.${view.getUint8(at + 2)}.${view.getUint8(at + 3)}`, port))
  )
}

/** IPv6 address (RFC 5952 text) and port as `[fd00::5]:8080`; port −1: `[fd00::5]`. */
export function endpoint6(view: DataView, at: number, port: number): string {
  const key = `${view.getUint32(at)} ${view.getUint32(at + 4)} ${view.getUint32(at + 8)} ${view.getUint32(at + 12)} ${port}`
  const known = v6.get(key)
  if (known !== undefined) return known
  const bytes = Array.from({ length: 16 }, (_, i) => view.getUint8(at + i))
  return remember(v6, key, withPort(`[${new ipaddr.IPv6(bytes).toRFC5952String()}]`, port))
}

function withPort(address: string, port: number): string {
  return port < 0 ? address : `${address}:${port}`
}

/** MAC address as `02:00:0a:f4:00:05`. */
export function mac(view: DataView, at: number): string {
  const key = view.getUint16(at) * 0x1_0000_0000 + view.getUint32(at + 2)
  return (
    macs.get(key) ??
    remember(
      macs,
      key,
      key
        .toString(16)
        .padStart(12, '0')
        .replace(/..(?!$)/g, '$&:'),
    )
  )
}
