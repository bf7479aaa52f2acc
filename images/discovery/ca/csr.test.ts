import { createPrivateKey, generateKeyPairSync, type KeyObject, sign, type webcrypto } from 'node:crypto'
import fc from 'fast-check'
import { beforeAll, describe, expect, test } from 'vitest'
import { x509 } from '../../lib/ca.ts'
import { CsrError, readCsr } from './csr.ts'

const identity = { trustDomain: 'cluster.local', namespace: 'demo', serviceAccount: 'sleep' }
const own = 'spiffe://cluster.local/ns/demo/sa/sleep'

interface Wish {
  keys?: { publicKey: KeyObject; privateKey: KeyObject }
  algorithm?: object
  names?: { type: 'url' | 'dns'; value: string }[]
  lists?: number
}

async function csr({ keys = generateKeyPairSync('ec', { namedCurve: 'P-256' }), algorithm, names, lists = 1 }: Wish = {}): Promise<string> {
  const lib = await x509()
  const signing = (algorithm ?? { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }) as {
    name: string
    hash: string
    namedCurve: string
  }
  const list = () => new lib.SubjectAlternativeNameExtension(names ?? [{ type: 'url', value: own }])
  const made = await lib.Pkcs10CertificateRequestGenerator.create({
    keys: {
      privateKey: keys.privateKey.toCryptoKey(signing, true, ['sign']) as webcrypto.CryptoKey,
      publicKey: keys.publicKey.toCryptoKey(signing, true, ['verify']) as webcrypto.CryptoKey,
    },
    signingAlgorithm: signing,
    extensions: names?.length === 0 ? [] : Array.from({ length: lists }, list),
  })
  return made.toString('pem')
}

const pemOf = (der: Uint8Array) =>
  `-----BEGIN CERTIFICATE REQUEST-----\n${Buffer.from(der).toString('base64')}\n-----END CERTIFICATE REQUEST-----\n`
const derOf = (pem: string) => Buffer.from(pem.replaceAll(/-----[^-]+-----|\s/g, ''), 'base64')
const pemOfKey = (key: KeyObject) => key.export({ type: 'spki', format: 'pem' })

describe('the key of a request is taken', () => {
  test.each<[string, Wish]>([
    ['with the name that the certificate is for', {}],
    ['without a name', { names: [] }],
    [
      'P-384',
      { keys: generateKeyPairSync('ec', { namedCurve: 'P-384' }), algorithm: { name: 'ECDSA', namedCurve: 'P-384', hash: 'SHA-384' } },
    ],
    ['RSA', { keys: generateKeyPairSync('rsa', { modulusLength: 2048 }), algorithm: { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' } }],
  ])('%s', async (_, wish) => {
    const keys = wish.keys ?? generateKeyPairSync('ec', { namedCurve: 'P-256' })
    expect(pemOfKey(await readCsr(await csr({ ...wish, keys }), identity))).toBe(pemOfKey(keys.publicKey))
  })
})

describe('refused', () => {
  test.each<[string, Wish, RegExp]>([
    [
      'a foreign name',
      { names: [{ type: 'url', value: 'spiffe://cluster.local/ns/demo/sa/other' }] },
      /names "spiffe.*other", the certificate is for/,
    ],
    [
      'a foreign name beside the own',
      {
        names: [
          { type: 'url', value: own },
          { type: 'url', value: 'spiffe://x/ns/y/sa/z' },
        ],
      },
      /2 names/,
    ],
    [
      'the own name twice',
      {
        names: [
          { type: 'url', value: own },
          { type: 'url', value: own },
        ],
      },
      /2 names/,
    ],
    ['a DNS name', { names: [{ type: 'dns', value: 'istiod.istio-system.svc' }] }, /names "istiod/],
    ['two lists of names', { lists: 2 }, /more than one list/],
    [
      'a short RSA key',
      { keys: generateKeyPairSync('rsa', { modulusLength: 1024 }), algorithm: { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' } },
      /rsa 1024: use/,
    ],
    [
      'another curve',
      { keys: generateKeyPairSync('ec', { namedCurve: 'P-521' }), algorithm: { name: 'ECDSA', namedCurve: 'P-521', hash: 'SHA-512' } },
      /ec secp521r1: use/,
    ],
    [
      'a signature by SHA-1',
      { keys: generateKeyPairSync('rsa', { modulusLength: 2048 }), algorithm: { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-1' } },
      /weak or unknown/,
    ],
  ])('%s', async (_, wish, why) => {
    const refused = readCsr(await csr(wish), identity)
    await expect(refused).rejects.toThrow(CsrError)
    await expect(refused).rejects.toThrow(why)
  })

  test('a request that another key signed', async () => {
    // The request of one key, with the last field (BIT STRING with the signature) made by another.
    const der = derOf(await csr())
    const tbsEnd = 4 + (der[4] === 0x30 && der[5]! >= 0x80 ? 2 + (der[5]! & 0x7f) + der.readUIntBE(6, der[5]! & 0x7f) : 2 + der[5]!)
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    for (const key of [privateKey, createPrivateKey(privateKey.export({ type: 'pkcs8', format: 'pem' }))]) {
      const signature = sign('sha256', der.subarray(4, tbsEnd), key)
      const algorithm = der.subarray(tbsEnd, tbsEnd + 2 + der[tbsEnd + 1]!)
      const inner = Buffer.concat([der.subarray(4, tbsEnd), algorithm, Buffer.of(3, signature.length + 1, 0), signature])
      const whole = Buffer.concat([Buffer.of(0x30, 0x82, inner.length >> 8, inner.length & 255), inner])
      await expect(readCsr(pemOf(whole), identity)).rejects.toThrow(/not signed by the key that it holds|not readable/)
    }
  })

  test.each([
    ['nothing', () => ''],
    ['another kind of PEM', () => pemOf(Buffer.from('x')).replaceAll('CERTIFICATE REQUEST', 'CERTIFICATE')],
    ['something behind it', (pem: string) => `${pem}x`],
    ['two requests', (pem: string) => pem + pem],
    ['bytes behind the request', (pem: string) => pemOf(Buffer.concat([derOf(pem), Buffer.of(0)]))],
    ['a request cut short', (pem: string) => pemOf(derOf(pem).subarray(0, -1))],
    ['too much', () => pemOf(Buffer.alloc(40_000))],
  ])('%s', async (_, change) => {
    await expect(readCsr(change(await csr()), identity)).rejects.toThrow(CsrError)
  })
})

describe('any bytes', () => {
  let valid: Buffer
  let key: string | Buffer
  beforeAll(async () => {
    const keys = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    valid = derOf(await csr({ keys }))
    key = pemOfKey(keys.publicKey)
  })
  /** What is signed is the key that signed; what is refused is refused in words. */
  const check = async (pem: string) => {
    try {
      expect(pemOfKey(await readCsr(pem, identity))).toBe(key)
    } catch (error) {
      expect(error).toBeInstanceOf(CsrError)
    }
  }

  test('random ones are refused', async () => {
    await fc.assert(
      fc.asyncProperty(fc.oneof(fc.uint8Array({ maxLength: 300 }).map(pemOf), fc.string({ maxLength: 300 })), async (pem) => {
        await expect(readCsr(pem, identity)).rejects.toThrow(CsrError)
      }),
      { numRuns: 300 },
    )
  })

  test('a good request with bytes changed, put in or left out never gets another key signed', async () => {
    const edit = fc.record({ at: fc.nat(), take: fc.nat({ max: 3 }), put: fc.uint8Array({ maxLength: 3 }) })
    await fc.assert(
      fc.asyncProperty(fc.array(edit, { minLength: 1, maxLength: 3 }), async (edits) => {
        let der = valid
        for (const { at, take, put } of edits) {
          const where = at % der.length
          der = Buffer.concat([der.subarray(0, where), put, der.subarray(where + take)])
        }
        await check(pemOf(der))
      }),
      { numRuns: 400 },
    )
  })
})
