/** Octets of each buffer. */
export const spareSize = 256 << 10
const most = 16

/** Buffers to gather bytes in for one large write. Whoever is idle holds none, so that memory follows what is under way, not what is connected. */
const spare: Buffer[] = []

export function takeBuffer(): Buffer {
  return spare.pop() ?? Buffer.allocUnsafeSlow(spareSize)
}

/** @param buffer is not used any more by whoever gives it */
export function giveBuffer(buffer: Buffer): void {
  if (buffer.length === spareSize && spare.length < most) spare.push(buffer)
}
