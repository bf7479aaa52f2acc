import { expect, test } from 'vitest'
import { endpoint } from './endpoint.ts'

test.for([
  ['10.0.0.1', 80, '10.0.0.1:80'],
  ['::ffff:10.0.0.1', 80, '10.0.0.1:80'],
  ['fd00::1', 80, '[fd00::1]:80'],
  ['::ffff:0:1', 80, '[::ffff:0:1]:80'],
] as const)('%s port %d is written %s', ([address, port, written]) => {
  expect(endpoint(address, port)).toBe(written)
})
