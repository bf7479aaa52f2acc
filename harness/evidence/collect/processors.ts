import { c, check } from '../../../images/lib/libc.ts'

/** Bytes of a cpu_set_t. */
const maskLength = 128

/** Runs `fn` once on each processor that this thread may use, one after the other, on the main thread; afterwards it may use all of them again. */
export function onEachProcessor(fn: () => void): void {
  const allowed = Buffer.alloc(maskLength)
  check('sched_getaffinity', c.sched_getaffinity(0, maskLength, allowed))
  try {
    for (let cpu = 0; cpu < maskLength * 8; cpu++) {
      if ((allowed[cpu >> 3]! & (1 << (cpu & 7))) === 0) continue
      const one = Buffer.alloc(maskLength)
      one[cpu >> 3] = 1 << (cpu & 7)
      // A processor that was just taken offline: nothing waits there.
      if (c.sched_setaffinity(0, maskLength, one) === 0) fn()
    }
  } finally {
    check('sched_setaffinity', c.sched_setaffinity(0, maskLength, allowed))
  }
}
