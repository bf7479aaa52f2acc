import { expect, test } from 'vitest'
import { parseRoute, type Route, routeHash } from './route.ts'

test.each<[string, Route]>([
  ['', { page: 'matrix', q: '', filters: {} }],
  ['#page=faults&fault=a-b', { page: 'faults', fault: 'a-b', q: '', filters: {} }],
  [
    '#case=inpod@1.21/probe/x&hop=leg/hop&packet=7',
    { page: 'case', case: 'inpod@1.21/probe/x', hop: 'leg/hop', packet: 7, q: '', filters: {} },
  ],
  ['#q=two+words&verdict=fail&protocol=tcp', { page: 'matrix', q: 'two words', filters: { verdict: 'fail', protocol: 'tcp' } }],
])('the address %s says where the reader is, and is made of it', (hash, route) => {
  expect(parseRoute(hash)).toEqual(route)
  expect(routeHash(route)).toBe(hash || '#')
})

test('an address that nobody made is the start', () => {
  expect(parseRoute('#page=nowhere&packet=x').page).toBe('matrix')
  expect(parseRoute('#page=nowhere', 'faults').page).toBe('faults')
})
