import { c } from '../../../images/lib/libc.ts'

const CLOCK_REALTIME = 0
const time = Buffer.alloc(16)

/**
 * Wall clock in whole microseconds since 1970: the clock that the kernel stamps packets with.
 * Not Date.now(), which is too coarse to sort trace lines between packets.
 */
export function nowMicros(): number {
  c.clock_gettime(CLOCK_REALTIME, time)
  return Number(time.readBigInt64LE(0)) * 1e6 + Math.floor(Number(time.readBigInt64LE(8)) / 1e3)
}
