import { beforeEach, describe, expect, test } from 'vitest'
import { resources, Store } from './store.ts'
import { Tokens } from './tokens.ts'

const account = { name: 'a', namespace: 'n' }
let store: Store
let now: number
let tokens: Tokens
beforeEach(() => {
  store = new Store()
  store.create(resources.namespaces, { metadata: { name: 'n' } })
  store.create(resources.serviceaccounts, { metadata: account })
  now = Date.UTC(2026, 0, 1)
  tokens = new Tokens(store, () => now)
})

const claims = (token: string) => JSON.parse(Buffer.from(token.split('.')[1]!, 'base64url').toString()) as Record<string, unknown>

describe('service account tokens', () => {
  test('carry the claims that Kubernetes gives them', () => {
    const { token, expirationTimestamp } = tokens.issue(account, { audiences: ['istio-ca'], expirationSeconds: 3607 })
    const { uid } = store.get(resources.serviceaccounts, account).metadata
    expect(claims(token)).toStrictEqual({
      aud: ['istio-ca'],
      exp: now / 1000 + 3607,
      iat: now / 1000,
      iss: 'https://kubernetes.default.svc.cluster.local',
      jti: expect.stringMatching(/^[0-9a-f-]{36}$/),
      'kubernetes.io': { namespace: 'n', serviceaccount: { name: 'a', uid } },
      nbf: now / 1000,
      sub: 'system:serviceaccount:n:a',
    })
    expect(expirationTimestamp).toBe('2026-01-01T01:00:07Z')
  })

  test('are good until they expire, and while their account is the same one', () => {
    const { token } = tokens.issue(account, { expirationSeconds: 600 })
    now += 599_000
    expect(tokens.authenticate(token)).toMatchObject({ user: { username: 'system:serviceaccount:n:a' } })
    now += 1000
    expect(tokens.authenticate(token)).toStrictEqual({ error: 'service account token has expired' })
    const other = tokens.issue(account).token
    store.delete(resources.serviceaccounts, account)
    store.create(resources.serviceaccounts, { metadata: account })
    expect(tokens.authenticate(other)).toMatchObject({ error: expect.stringContaining('has been deleted') })
  })

  test('with a changed claim, another key or the algorithm none are not believed', () => {
    const { token } = tokens.issue(account)
    const [header, , signature] = token.split('.') as [string, string, string]
    const forged = Buffer.from(JSON.stringify({ ...claims(token), sub: 'system:serviceaccount:n:b' })).toString('base64url')
    const none = Buffer.from('{"alg":"none"}').toString('base64url')
    const refused = { error: 'invalid bearer token' }
    expect(tokens.authenticate(`${header}.${forged}.${signature}`)).toStrictEqual(refused)
    expect(tokens.authenticate(`${none}.${forged}.`)).toStrictEqual(refused)
    expect(tokens.authenticate(new Tokens(store).issue(account).token)).toStrictEqual(refused)
  })

  test.each([
    [{ expirationSeconds: 599 }, 422, 'less than 10 minutes'],
    [{ boundObjectRef: { kind: 'Secret', name: 'x' } }, 422, 'boundObjectRef.kind'],
    [{ boundObjectRef: { kind: 'Pod', name: 'x' } }, 404, 'pods "x" not found'],
  ])('a request for %j is refused', (spec, code, message) => {
    expect(() => tokens.issue(account, spec)).toThrow(expect.objectContaining({ code, message: expect.stringContaining(message) }))
  })
})
