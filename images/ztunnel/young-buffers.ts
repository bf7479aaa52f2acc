import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/** So many bytes may have come in buffers before the dead ones among them are collected. */
const every = 16 << 20

// V8's own extension; the flag only says that the function is made.
setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as (options: { type: 'minor' }) => void

let bytes = 0
let planned = false

/**
 * Told of all bytes that come in buffers. V8 collects young objects when their own small space is full, and does not count what buffers hold outside of it; so a fast
 * stream makes it mark its whole heap for each 64 MB that came, a quarter to a half of a bulk transfer's processor time. Collecting the young ones now and then costs far less.
 */
export function buffersCame(length: number): void {
  bytes += length
  if (bytes < every || planned) return
  planned = true
  setImmediate(() => {
    planned = false
    bytes = 0
    collect({ type: 'minor' })
  })
}
