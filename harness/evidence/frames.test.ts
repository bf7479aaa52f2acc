import fc from 'fast-check'
import { expect, test } from 'vitest'
import { encodeFrame, FrameDecoder, FrameError, type FrameKind } from './frames.ts'

const frames = fc.array(
  fc.record({ kind: fc.integer({ min: 1, max: 10 }).map((k) => k as FrameKind), payload: fc.uint8Array({ maxLength: 300 }) }),
  { maxLength: 20 },
)

test('frames come out whole and in order, wherever the stream was cut', () => {
  fc.assert(
    fc.property(frames, fc.array(fc.nat(), { maxLength: 40 }), (sent, cuts) => {
      const stream = Buffer.concat(sent.map(({ kind, payload }) => encodeFrame(kind, payload)))
      const places = [...new Set([0, ...cuts.map((cut) => cut % (stream.length + 1)), stream.length])].sort((a, b) => a - b)
      const decoder = new FrameDecoder()
      const got = places.slice(1).flatMap((end, i) => decoder.push(stream.subarray(places[i]!, end)))
      expect(got.map(({ kind, payload }) => ({ kind, payload: Uint8Array.from(payload) }))).toEqual(sent)
      expect(decoder.pending).toBe(0)
    }),
  )
})

test('one byte at a time is enough, and what is missing at the end is known', () => {
  const decoder = new FrameDecoder()
  const stream = encodeFrame(2, 'line\n')
  const got = Array.from(stream.subarray(0, -1), (byte) => decoder.push(Buffer.of(byte))).flat()
  expect(got).toEqual([])
  expect(decoder.pending).toBe(stream.length - 1)
  expect(decoder.push(stream.subarray(-1))[0]!.payload.toString()).toBe('line\n')
})

test('a stream that is no frames is refused at once, not waited for', () => {
  expect(() => new FrameDecoder().push(Buffer.from('Hello, this is a program that talks\n'))).toThrow(FrameError)
  expect(() => new FrameDecoder().push(Buffer.from([0, 0, 0, 0, 13]))).toThrow('kind 13')
})
