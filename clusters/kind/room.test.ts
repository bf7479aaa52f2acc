import { expect, test } from 'vitest'
import { checkRoom } from './room.ts'

test('too little room on the disk is told with what is there, what is needed, and where', () => {
  const free = (gib: number) => ({ bavail: (gib * 2 ** 30) / 4096, bsize: 4096 })
  expect(() => checkRoom('/d', 3, free(6.5))).not.toThrow()
  expect(() => checkRoom('/d', 3, free(6.4))).toThrow('3 nodes need 6.5 GiB of disk, and /d has 6.4 GiB free; fix: make room there')
  expect(() => checkRoom('/d', 4, free(6.5))).toThrow('4 nodes need 8.0 GiB')
})
