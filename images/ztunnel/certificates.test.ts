import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { type Ca, generateCa, issueLeaf, loadCa } from '../lib/ca.ts'
import type { Identity } from '../lib/identity.ts'
import { Certificates } from './certificates.ts'

const sleep: Identity = { trustDomain: 'cluster.local', namespace: 'demo', serviceAccount: 'sleep' }
const hour = 3_600_000
let ca: Ca
beforeEach(async () => {
  ca = loadCa(await generateCa())
  vi.useFakeTimers({ now: Date.now(), toFake: ['setTimeout', 'clearTimeout', 'Date', 'performance'] })
})
afterEach(() => void vi.useRealTimers())

test('one certificate and one context for each identity, however many ask', async () => {
  const issue = vi.fn((identity: Identity) => issueLeaf(ca, identity, hour))
  const certificates = new Certificates(issue, () => {})
  const contexts = await Promise.all([certificates.context(sleep), certificates.context(sleep)])
  expect(await certificates.context({ ...sleep })).toBe(contexts[0])
  expect(contexts[1]).toBe(contexts[0])
  expect(issue).toHaveBeenCalledTimes(1)
  await certificates.context({ ...sleep, serviceAccount: 'other' })
  expect(issue).toHaveBeenCalledTimes(2)
})

test('it is renewed at half of its life, and forgotten with its last user', async () => {
  const issued = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  let n = 0
  const issue = vi.fn(async (identity: Identity) => {
    const leaf = await issueLeaf(ca, identity, hour)
    issued[n++]?.resolve()
    return leaf
  })
  const certificates = new Certificates(issue, () => {})
  certificates.hold(sleep)
  certificates.hold(sleep)
  const first = await certificates.context(sleep)
  vi.advanceTimersByTime(28 * 60_000)
  expect(issue).toHaveBeenCalledTimes(1)
  vi.advanceTimersByTime(3 * 60_000)
  expect(issue).toHaveBeenCalledTimes(2)
  await issued[1]!.promise
  await vi.waitFor(async () => expect(await certificates.context(sleep)).not.toBe(first), 10_000)
  certificates.release(sleep)
  expect(certificates.all()).toHaveLength(1)
  certificates.release(sleep)
  expect(certificates.all()).toEqual([])
  expect(vi.getTimerCount()).toBe(0)
})

test('one that is good for months is not renewed at once', async () => {
  const issue = vi.fn((identity: Identity) => issueLeaf(ca, identity, 90 * 24 * hour))
  const certificates = new Certificates(issue, () => {})
  certificates.hold(sleep)
  await certificates.context(sleep)
  vi.advanceTimersByTime(24 * hour)
  expect(issue).toHaveBeenCalledTimes(1)
  vi.advanceTimersByTime(24 * 24 * hour)
  expect(issue).toHaveBeenCalledTimes(2)
  certificates.close()
})

test('one that comes with half of its life gone is renewed at half of the rest, not at once', async () => {
  const issue = vi.fn((identity: Identity) => issueLeaf(ca, identity, 4000))
  const certificates = new Certificates(issue, () => {})
  certificates.hold(sleep)
  const first = await certificates.context(sleep)
  vi.advanceTimersByTime(1500)
  expect(issue).toHaveBeenCalledTimes(1)
  vi.advanceTimersByTime(700)
  expect(issue).toHaveBeenCalledTimes(2)
  await vi.waitFor(async () => expect(await certificates.context(sleep)).not.toBe(first), 10_000)
  certificates.close()
})

test('an issuer that fails is tried again, later each time; who asks meanwhile gets the reason; the old certificate stays in use', async () => {
  const log = vi.fn()
  const issue = vi.fn((_: Identity) => Promise.reject(new Error('CA is away')) as ReturnType<typeof issueLeaf>)
  const certificates = new Certificates(issue, log)
  certificates.hold(sleep)
  await expect(certificates.context(sleep)).rejects.toThrow(
    'identity error: no certificate for spiffe://cluster.local/ns/demo/sa/sleep: CA is away',
  )
  await expect(certificates.context(sleep)).rejects.toThrow('CA is away')
  expect(issue).toHaveBeenCalledTimes(1)
  expect(certificates.all()).toEqual([{ identity: 'spiffe://cluster.local/ns/demo/sa/sleep', state: 'Unavailable: CA is away' }])
  expect(log).toHaveBeenCalledWith('error', 'identity', expect.any(String), expect.objectContaining({ error: 'CA is away' }))
  await vi.advanceTimersByTimeAsync(500)
  expect(issue).toHaveBeenCalledTimes(2)
  await vi.advanceTimersByTimeAsync(999)
  expect(issue).toHaveBeenCalledTimes(2)
  await vi.advanceTimersByTimeAsync(1)
  expect(issue).toHaveBeenCalledTimes(3)
  issue.mockImplementation((identity) => issueLeaf(ca, identity, hour))
  await vi.advanceTimersByTimeAsync(500)
  const context = await certificates.context(sleep)
  issue.mockRejectedValue(new Error('CA is away again'))
  vi.advanceTimersByTime(40 * 60_000)
  expect(await certificates.context(sleep)).toBe(context)
  vi.advanceTimersByTime(25 * 60_000)
  await expect(certificates.context(sleep)).rejects.toThrow('CA is away again')
})

test('a certificate that nobody holds is not renewed, and forgotten at half of its life', async () => {
  const issue = vi.fn((identity: Identity) => issueLeaf(ca, identity, hour))
  const certificates = new Certificates(issue, () => {})
  await certificates.context(sleep)
  vi.advanceTimersByTime(31 * 60_000)
  expect(certificates.all()).toEqual([])
  expect(issue).toHaveBeenCalledTimes(1)
  expect(vi.getTimerCount()).toBe(0)
})
