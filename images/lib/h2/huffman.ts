/** An HPACK block that cannot be read. The connection's state of compression is lost with it. */
export class HpackError extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'HpackError'
  }
}

/** Bits of each symbol's code (RFC 7541, appendix B); the last is EOS. The codes follow from the lengths: shorter ones first, among equals in the symbols' order. */
// biome-ignore format: as the appendix, sixteen a line
const lengths = [
  13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
  28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
  6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
  5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
  13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
  7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
  15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
  6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
  20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
  24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
  22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
  21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
  26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
  19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
  20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
  26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
  30,
]
const EOS = 256

/** Two entries a node, one for each bit: the next node, or `leaf - symbol`; 0: no code begins so. */
const tree = buildTree()
const leaf = -1

function buildTree(): Int16Array {
  const nodes = new Int16Array(2 * lengths.length)
  let used = 1
  let code = 0
  let before = 0
  const order = lengths.map((length, symbol) => ({ length, symbol })).sort((a, b) => a.length - b.length || a.symbol - b.symbol)
  for (const { length, symbol } of order) {
    code *= 2 ** (length - before)
    before = length
    let node = 0
    for (let bit = length - 1; bit > 0; bit--) {
      const at = 2 * node + (Math.floor(code / 2 ** bit) & 1)
      nodes[at] ||= used++
      node = nodes[at]!
    }
    nodes[2 * node + (code & 1)] = -1 - symbol
    code++
  }
  return nodes
}

/** Reads a Huffman string of octets, each as one character. @throws HpackError for EOS, and for padding that is too long or not of ones */
export function huffmanDecode(bytes: Buffer): string {
  const text = Buffer.allocUnsafe(Math.floor((bytes.length * 8) / 5))
  let length = 0
  let node = 0
  let pending = 0
  let ones = true
  for (const byte of bytes) {
    for (let bit = 7; bit >= 0; bit--) {
      const one = (byte >> bit) & 1
      const next = tree[2 * node + one]!
      pending++
      if (one === 0) ones = false
      if (next >= 0) {
        node = next
        continue
      }
      const symbol = leaf - next
      if (symbol === EOS) throw new HpackError('a Huffman string contains EOS')
      text[length++] = symbol
      node = 0
      pending = 0
      ones = true
    }
  }
  if (pending > 7 || !ones) throw new HpackError('a Huffman string ends with bad padding')
  return text.toString('latin1', 0, length)
}
