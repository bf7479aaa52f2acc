import { createHash } from 'node:crypto'
import type { Duplex } from 'node:stream'
import type { Digest } from './app-protocol.ts'

/** Bytes that a bulk exchange sends, and gets back. */
export const bulkBytes = 8 << 20
/** The first and the last so many travel alone: nothing else of the connection is under way with them. */
export const blockBytes = 8 << 10
const pieceBytes = 64 << 10

/**
 * Sends 8 MiB to an echo server and takes them back. The first block begins with `token` and is echoed before the rest is sent; the last block ends with it and is sent when
 * all before it came back: so the packets that carry the token carry nothing else, however the network cuts the stream.
 * @returns whether what came back is what was sent, with the digests of both
 * @throws Error with code EECHO when fewer or more bytes come back
 */
export async function bulk(
  socket: Duplex,
  token: string,
): Promise<{ same: boolean; sent: Digest; received: Digest; first: string; last: string }> {
  const whole = bulkBody(token)
  const hash = createHash('sha256')
  const incoming = socket[Symbol.asyncIterator]() as AsyncIterator<Buffer>
  let received = 0
  /** Until `end` bytes came back. */
  const echoed = async (end: number) => {
    while (received < end) {
      const { done, value } = await incoming.next()
      if (done) throw fault(`the connection ended after ${received} of ${bulkBytes} bytes came back`)
      // Not compared here: it goes on to its end, so that all evidence of it is there.
      hash.update(value)
      received += value.length
    }
  }
  socket.write(whole.subarray(0, blockBytes))
  await echoed(blockBytes)
  const rest = bulkBytes - blockBytes
  const writing = (async () => {
    for (let at = blockBytes; at < rest; at += pieceBytes) {
      if (!socket.write(whole.subarray(at, Math.min(at + pieceBytes, rest)))) await drained(socket)
    }
  })()
  await Promise.all([writing, echoed(rest)])
  socket.end(whole.subarray(rest))
  await echoed(bulkBytes)
  const { done } = await incoming.next()
  if (!done) throw fault(`more than ${bulkBytes} bytes came back`)
  const sent = createHash('sha256').update(whole).digest('hex')
  const got = hash.digest('hex')
  return {
    same: sent === got,
    sent: { bytes: bulkBytes, sha256: sent },
    received: { bytes: received, sha256: got },
    first: whole.toString('latin1', 0, blockBytes),
    last: whole.toString('latin1', rest),
  }
}

/** Printable, the same for the same token, and without a second copy of it between its first and last bytes. */
function bulkBody(token: string): Buffer {
  const line = Buffer.from('everyhop bulk 0123456789 abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXYZ\n')
  const body = Buffer.alloc(bulkBytes, line)
  // Each line its own number: bytes that are swapped or sent twice show.
  for (let at = 0, n = 0; at + 10 < bulkBytes; at += line.length, n++) body.write(`${n}`.padStart(9), at, 'latin1')
  body.write(token, 0, 'latin1')
  body.write(token, bulkBytes - Buffer.byteLength(token), 'latin1')
  return body
}

function drained(socket: Duplex): Promise<void> {
  return new Promise((resolve, reject) => {
    const ended = () => reject(Object.assign(new Error('the connection closed while it was written to'), { code: 'ECONNRESET' }))
    socket.once('drain', () => {
      socket.off('close', ended)
      resolve()
    })
    socket.once('close', ended)
  })
}

const fault = (message: string) => Object.assign(new Error(message), { code: 'EECHO' })
