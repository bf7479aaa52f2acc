import { expect, test } from 'vitest'
import { casesOf } from './cases.ts'
import { select } from './select.ts'

const all = casesOf('inpod')
const ids = (globs: string[], quick = false) => select(all, { quick, globs }).map((c) => c.id)

test('nothing asked for is everything, quick is the part marked so', () => {
  expect(ids([])).toHaveLength(all.length)
  expect(ids([], true)).toEqual(all.filter((c) => c.quick).map((c) => c.id))
  expect(ids([], true).length).toBeGreaterThanOrEqual(12)
})

test('globs name cases with or without the mode', () => {
  expect(ids(['probe/*/*/*'])).toEqual(['inpod/probe/same-node/pod-ip/http', 'inpod/probe/same-node/pod-ip/tcp'])
  expect(ids(['inpod/probe/**'])).toEqual(ids(['probe/**']))
  expect(ids(['**/pooled', '**/denied'])).toHaveLength(2)
})

test('an exclamation mark takes away, from the named or from all', () => {
  expect(ids(['!**/cluster-ip/**']).every((id) => !id.includes('cluster-ip'))).toBe(true)
  expect(ids(['probe/*/*/*', '!**/tcp'])).toEqual(['inpod/probe/same-node/pod-ip/http'])
})

test('a case that is named is run although it is not a quick one', () => {
  expect(ids(['mesh-to-plain/other-node/pod-ip/tcp'], true)).toHaveLength(1)
})

test('every id is unique', () => {
  expect(new Set(all.map((c) => c.id)).size).toBe(all.length)
})
