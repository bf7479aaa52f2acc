import { expect, test } from 'vitest'
import { certificateIdentity, formatIdentity, parseIdentity, principal, uriNames } from './identity.ts'

test('an identity reads back as it was written', () => {
  const uri = 'spiffe://cluster.local/ns/demo/sa/sleep'
  expect(formatIdentity(parseIdentity(uri)!)).toBe(uri)
  expect(principal(parseIdentity(uri)!)).toBe('cluster.local/ns/demo/sa/sleep')
})

test.each([
  'spiffe://cluster.local/ns/demo/sa/',
  'spiffe://cluster.local/ns/demo/sa/a/b',
  'https://cluster.local/ns/a/sa/b',
  'spiffe://cluster.local/ns/demo',
  '',
])('no identity: %s', (uri) => expect(parseIdentity(uri)).toBeUndefined())

test('only one URI name makes an identity, and a quoted entry cannot pass for two', () => {
  expect(certificateIdentity({ subjectaltname: 'DNS:x, URI:spiffe://cluster.local/ns/a/sa/b' })?.serviceAccount).toBe('b')
  expect(
    certificateIdentity({ subjectaltname: 'URI:spiffe://cluster.local/ns/a/sa/b, URI:spiffe://cluster.local/ns/a/sa/c' }),
  ).toBeUndefined()
  expect(uriNames('URI:"x, URI:spiffe://cluster.local/ns/a/sa/b"')).toEqual(['x, URI:spiffe://cluster.local/ns/a/sa/b'])
  expect(certificateIdentity({ subjectaltname: 'DNS:"x, URI:spiffe://cluster.local/ns/a/sa/b"' })).toBeUndefined()
  expect(certificateIdentity({ subjectaltname: undefined })).toBeUndefined()
})
