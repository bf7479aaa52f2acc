import { constants, type Http2Stream } from 'node:http2'
import { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { Traffic } from './access-log.ts'
import { buffersCame } from './young-buffers.ts'

/** How long a side that is given up may take to send what it has, milliseconds. */
const lingering = 5_000

/** So many bytes may wait for a side that takes them slowly before the other is told to hold back, and so few before it may go on. */
const high = 1 << 20
const low = 256 << 10
/** Chunks up to this many bytes go at once; larger ones are gathered until the turn of the event loop ends, since one large write costs less than many small. */
const small = 4 << 10

/** Ends a relay from outside: both sides are closed and the relay fails with `reason`. */
export type Abort = (reason: string) => void

/**
 * Copies both ways until each side has ended, passing half-closes on. A side that fails ends the other with an ordinary close (resets are not forwarded).
 * @param traffic counts while it runs: `sent` what went from `near` to `far`, `received` the other way
 * @param onAbort is handed the function that ends the relay
 * @throws Error with upstream's words
 */
export function relay(near: Duplex, far: Duplex, traffic: Traffic, onAbort: (abort: Abort) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    let open = 2
    let over = false
    const fail = (reason: string) => {
      if (over) return
      over = true
      giveUp(near)
      giveUp(far)
      reject(new Error(reason))
    }
    const sideDone = () => {
      open--
      if (open > 0 || over) return
      over = true
      resolve()
    }
    onAbort(fail)
    copy(
      near,
      far,
      (n) => {
        traffic.sent += n
      },
      sideDone,
      fail,
    )
    copy(
      far,
      near,
      (n) => {
        traffic.received += n
      },
      sideDone,
      fail,
    )
  })
}

function copy(from: Duplex, to: Duplex, count: (bytes: number) => void, done: () => void, fail: (reason: string) => void): void {
  let ended = false
  let gathering = false
  const flush = () => {
    gathering = false
    to.uncork()
  }
  const written = () => {
    if (from.isPaused() && to.writableLength <= low) from.resume()
  }
  from.on('data', (chunk: Buffer) => {
    count(chunk.length)
    buffersCame(chunk.length)
    if (!to.writable) return
    if (!gathering && chunk.length > small) {
      gathering = true
      to.cork()
      setImmediate(flush)
    }
    to.write(chunk, written)
    if (to.writableLength >= high) from.pause()
  })
  from.once('end', () => {
    if (wasReset(from)) return fail('io error: stream reset by the peer')
    ended = true
    if (to.writableFinished) return done()
    to.once('finish', done)
    to.end()
  })
  from.on('error', (error: Error) => fail(`io error: ${error.message}`))
  from.once('close', () => {
    if (wasReset(from)) fail('io error: stream reset by the peer')
    else if (!ended) fail('io error: connection closed early')
    else if (!from.writableFinished) fail('io error: closed by the peer before all was written')
  })
  if (from.destroyed) fail('io error: connection closed early')
  else from.resume()
}

/** An HTTP/2 stream that was reset reports its end like one that ended well; only the code tells them apart. */
function wasReset(stream: Duplex): boolean {
  const code = (stream as { rstCode?: number }).rstCode
  return code !== undefined && code !== 0
}

/** What was written may still leave; then the side closes as after an ordinary end. */
function giveUp(side: Duplex): void {
  if (side.destroyed) return
  if (side instanceof Socket) {
    side.resume()
    side.destroySoon()
    setTimeout(() => side.destroy(), lingering).unref()
  } else if ('close' in side) (side as Http2Stream).close(constants.NGHTTP2_CANCEL)
  else side.destroy()
}
