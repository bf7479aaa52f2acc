const digits = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'

/** Base64 with padding (RFC 4648, section 4). By hand: not every engine that runs the plugin has it. */
export function toBase64(bytes: Uint8Array): string {
  let text = ''
  for (let i = 0; i < bytes.length; i += 3) {
    const group = (bytes[i]! << 16) | ((bytes[i + 1] ?? 0) << 8) | (bytes[i + 2] ?? 0)
    for (const at of [0, 1, 2, 3]) text += at <= bytes.length - i ? digits[(group >> (18 - 6 * at)) & 63] : '='
  }
  return text
}

/** The text, if it is ASCII. White space is passed over; decoding ends at what is no base64. */
export function fromBase64(text: string): string {
  let [result, bits, count] = ['', 0, 0]
  for (const digit of text.replace(/\s/g, '')) {
    const value = digits.indexOf(digit)
    if (value < 0) break
    bits = ((bits << 6) | value) & 0xffff
    count += 6
    if (count < 8) continue
    count -= 8
    result += String.fromCharCode((bits >> count) & 0xff)
  }
  return result
}
