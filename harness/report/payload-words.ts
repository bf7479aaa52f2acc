const records: Readonly<Record<number, string>> = { 20: 'change cipher spec', 21: 'alert', 22: 'handshake', 23: 'application data' }
const handshakes: Readonly<Record<number, string>> = { 1: 'ClientHello', 2: 'ServerHello' }
const http = /^(?:(?:GET|POST|PUT|HEAD|DELETE|OPTIONS|CONNECT|PATCH) \S+ HTTP\/1\.[01]|HTTP\/1\.[01] \d{3}[^\r\n]*)/
const preface = 'PRI * HTTP/2.0'

/** What a payload is, in a few words: TLS record types (RFC 8446 5.1), an HTTP/1 start line, readable text, or its length. */
export function payloadWords(payload: Uint8Array, length: number): string {
  if (length === 0) return ''
  const tls = tlsWords(payload, length)
  if (tls) return tls
  const text = Buffer.from(payload.buffer, payload.byteOffset, Math.min(payload.length, 160)).toString('latin1')
  if (text.startsWith(preface)) return 'HTTP/2 connection preface'
  const [line] = http.exec(text) ?? []
  if (line) return line.length > 60 ? `${line.slice(0, 59)}…` : line
  if (/^[\x20-\x7e\r\n\t]+$/.test(text) && text.trim())
    return `text “${text.trim().slice(0, 16)}${text.trim().length > 16 ? '…' : ''}”, ${length} B`
  return `${length} B`
}

function tlsWords(p: Uint8Array, length: number): string | undefined {
  const names: string[] = []
  let at = 0
  while (at + 5 <= p.length && records[p[at]!] && p[at + 1] === 3 && p[at + 2]! <= 4) {
    const hello = p[at] === 22 ? handshakes[p[at + 5] ?? 0] : undefined
    const name = hello ?? records[p[at]!]!
    if (names.at(-1) !== name) names.push(name)
    at += 5 + ((p[at + 3]! << 8) | p[at + 4]!)
  }
  if (names.length === 0) return undefined
  // A record may be longer than what was captured of this packet; what stands behind the last whole one is no record of its own.
  return `TLS ${names.join(', ')}, ${length} B`
}
