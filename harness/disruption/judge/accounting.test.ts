import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type AnswerLine, account, fates, lateAfter, type ServedLine, type SightingLine } from './accounting.ts'

const token = (seq: number) => `abcdefgh.${String(seq).padStart(6, '0')}.${String(seq).padStart(16, '0')}`
const answer = (seq: number, more: Partial<AnswerLine> = {}): AnswerLine => ({
  seq,
  token: token(seq),
  ok: true,
  startedAt: 1000 + seq,
  endedAt: 1010 + seq,
  ref: `loads#L${seq}`,
  ...more,
})
const served = (seq: number): ServedLine => ({ body: token(seq), ref: `logs#L${seq}` })
const sighting = (seq: number, dev: string, t = 1): SightingLine => ({
  token: token(seq),
  t,
  node: 'n',
  netns: 'node',
  dev,
  ref: `s#L${seq}`,
})
const fate = (a: AnswerLine | undefined, servers: number) =>
  account(1, a ? [a] : [], Array<ServedLine>(servers).fill(served(0)), []).requests[0]?.fate

describe('a request is', () => {
  test('delivered, when its answer came in time', () => expect(fate(answer(0), 1)).toBe('delivered'))
  test('late, when it took longer than a second', () => {
    expect(fate(answer(0, { endedAt: 1000 + lateAfter }), 1)).toBe('delivered')
    expect(fate(answer(0, { endedAt: 1001 + lateAfter }), 1)).toBe('late')
  })
  test('reset, when the connection said so', () => {
    expect(fate(answer(0, { ok: false, error: 'ECONNRESET' }), 0)).toBe('reset')
    expect(fate(answer(0, { ok: false, error: 'EPIPE' }), 1)).toBe('reset')
  })
  test('lost, when it was refused, timed out, or ended without its answer', () => {
    for (const error of ['ECONNREFUSED', 'ETIMEDOUT', 'ECLOSED', 'EECHO', 'HTTP_503'])
      expect(fate(answer(0, { ok: false, error }), 0)).toBe('lost')
  })
  test('lost, when its number was given out and nothing more was told', () => expect(fate(undefined, 0)).toBe('lost'))
  test('duplicated, when two servers saw it, whatever its client got', () => {
    expect(fate(answer(0), 2)).toBe('duplicated')
    expect(fate(answer(0, { ok: false, error: 'ETIMEDOUT' }), 2)).toBe('duplicated')
  })
})

test('a sighting on lo is no reading on the way; one on any other device is, oldest first', () => {
  const [request] = account(1, [answer(0)], [served(0)], [sighting(0, 'veth1', 5), sighting(0, 'lo', 1), sighting(0, 'eth0', 3)]).requests
  expect(request?.seen.map((s) => s.dev)).toEqual(['lo', 'eth0', 'veth1'])
  expect(request?.readable.map((s) => s.dev)).toEqual(['eth0', 'veth1'])
})

test('what cannot be is told: two lines of one request, more lines than numbers, an answer that no server gave', () => {
  expect(account(1, [answer(0), answer(0)], [served(0)], []).contradictions).toEqual(['request 0 has two lines'])
  expect(account(1, [answer(0), answer(1)], [served(0), served(1)], []).contradictions).toEqual([
    'request 1 was told of, but only 1 were numbered',
  ])
  expect(account(1, [answer(0)], [], []).contradictions).toEqual(['request 0 was answered, but no server tells of it'])
})

test('without the last line the highest number stands for the count', () => {
  const { requests, totals } = account(undefined, [answer(0), answer(3)], [served(0), served(3)], [])
  expect(requests).toHaveLength(4)
  expect(totals).toEqual({ delivered: 2, late: 0, duplicated: 0, reset: 0, lost: 2 })
})

test("another load's tokens and lines count for nothing", () => {
  const other = { body: token(0).replace('abcdefgh', 'hgfedcba'), ref: '' }
  expect(account(1, [answer(0)], [served(0), other], []).totals.duplicated).toBe(0)
})

test('conservation: every number that was given out ends in exactly one class', () => {
  const line = fc.record({
    seq: fc.nat(20),
    ok: fc.boolean(),
    error: fc.constantFrom(undefined, 'ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'ECONNREFUSED'),
    took: fc.double({ min: 0, max: 5000, noNaN: true }),
  })
  fc.assert(
    fc.property(
      fc.array(line),
      fc.array(fc.nat(25)),
      fc.array(fc.nat(25)),
      fc.option(fc.nat(25), { nil: undefined }),
      (lines, at, seen, sent) => {
        const answers = lines.map((l) => answer(l.seq, { ok: l.ok, error: l.error, startedAt: 0, endedAt: l.took }))
        const result = account(
          sent,
          answers,
          at.map(served),
          seen.map((seq, i) => sighting(seq, i % 2 ? 'lo' : 'eth0')),
        )
        expect(result.requests.map((r) => r.seq)).toEqual(result.requests.map((_, i) => i))
        expect(Object.values(result.totals).reduce((a, b) => a + b, 0)).toBe(result.requests.length)
        if (sent !== undefined) expect(result.requests).toHaveLength(sent)
        for (const { fate } of result.requests) expect(fates).toContain(fate)
        // Who was never answered is never called delivered.
        const unanswered = result.requests.filter((r) => !r.answer?.ok)
        for (const { fate } of unanswered) expect(['reset', 'lost', 'duplicated']).toContain(fate)
      },
    ),
    { numRuns: 300 },
  )
})
