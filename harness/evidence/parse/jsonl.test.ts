import fc from 'fast-check'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { EvidenceError } from './error.ts'
import { endsEarly, parseJsonFile, parseLines } from './jsonl.ts'

test('a JSON object that was cut anywhere is told apart from one that is broken', () => {
  fc.assert(
    fc.property(fc.dictionary(fc.string(), fc.jsonValue()), fc.nat(), fc.constantFrom(undefined, 1), (value, at, indent) => {
      const text = JSON.stringify(value, null, indent)
      expect(endsEarly(Buffer.from(text))).toBe(false)
      expect([text, endsEarly(Buffer.from(text.slice(0, at % text.length)))]).toEqual([text, true])
    }),
    { numRuns: 2000 },
  )
  for (const broken of ['{"a":oops}', '{"a" 1}', '{"a":1}}', '[1,]', 'nul}', '{"a":"\n"}'])
    expect([broken, endsEarly(Buffer.from(broken))]).toEqual([broken, false])
})

test('lines are numbered from 1, empty ones too', () => {
  expect(parseLines(Buffer.from('1\n\n 2 \r\n3'), 'f', z.number(), [])).toEqual([
    { value: 1, ref: 'f#L1' },
    { value: 2, ref: 'f#L3' },
    { value: 3, ref: 'f#L4' },
  ])
})

test('an error names file, line and value', () => {
  const schema = z.object({ a: z.object({ b: z.number() }) })
  expect(() => parseLines(Buffer.from('{"a":{"b":1}}\n{"a":{"b":"x"}}\n'), 'f.jsonl', schema, [])).toThrow(
    /^f.jsonl, line 2: a.b: .*number/,
  )
  expect(() => parseJsonFile(Buffer.from('no'), 'f.json', schema)).toThrow(EvidenceError)
  expect(() => parseJsonFile(Buffer.from(''), 'f.json', schema)).toThrow(/^f.json: no JSON: it is empty/)
})
