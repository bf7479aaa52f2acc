import { X509Certificate } from 'node:crypto'
import { expect, test } from 'vitest'
import { generateCa } from '../../images/lib/ca.ts'
import { Certificates } from './certificates.ts'

const identity = 'spiffe://cluster.local/ns/demo/sa/client'

test("peers are made that the mesh's root vouches for, and such that only look alike; both trust the mesh's root", async () => {
  const mesh = await generateCa()
  let read = 0
  const certificates = new Certificates(async () => {
    read++
    return mesh
  })
  expect(read).toBe(0)
  const root = new X509Certificate(mesh['root-cert.pem'])
  for (const [signer, vouched] of [
    ['mesh', true],
    ['foreign', false],
  ] as const) {
    const { chainPem, rootPem } = await certificates.issue(identity, signer)
    const leaf = new X509Certificate(chainPem)
    expect(leaf.verify(root.publicKey)).toBe(vouched)
    expect(leaf.subjectAltName).toBe(`URI:${identity}`)
    expect(rootPem).toBe(mesh['root-cert.pem'])
  }
  expect(read).toBe(1)
})

test('what is no identity is said', async () => {
  const certificates = new Certificates(() => generateCa())
  await expect(certificates.issue('demo/client', 'mesh')).rejects.toThrow('"demo/client" is no SPIFFE identity of the form')
})
