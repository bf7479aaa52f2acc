import { writeFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { crashText } from './crash.ts'

test("of the machine's errors the fix is told, of ours where they are", () => {
  let full: unknown
  try {
    writeFileSync('/dev/full', 'x')
  } catch (error) {
    full = error
  }
  expect(crashText(full)).toBe('ENOSPC: no space left on device, write; fix: make room on that disk, or choose another folder with --out')
  expect(crashText(new TypeError('x is not a function'))).toMatch(/^TypeError: x is not a function\n {4}at .*crash\.test\.ts/)
  expect(crashText('thrown')).toBe('thrown')
})
