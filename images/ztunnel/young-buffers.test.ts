import { setImmediate as turn } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { buffersCame } from './young-buffers.ts'

test('dead buffers of a fast stream are gone long before V8 would look for them', async () => {
  const base = process.memoryUsage().arrayBuffers
  let most = 0
  for (let i = 0; i < 800; i++) {
    buffersCame(Buffer.allocUnsafeSlow(64 << 10).length)
    if (i % 8 === 0) await turn()
    most = Math.max(most, process.memoryUsage().arrayBuffers - base)
  }
  // 50 MB went by, and V8 by itself would let 64 MB come together.
  expect(most).toBeLessThan(30 << 20)
})
