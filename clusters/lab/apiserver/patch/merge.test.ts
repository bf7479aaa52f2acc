import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { isObject, type Json } from '../json.ts'
import { mergePatch } from './merge.ts'

/** RFC 7386, appendix A. */
const examples: [Json, Json, Json][] = [
  [{ a: 'b' }, { a: 'c' }, { a: 'c' }],
  [{ a: 'b' }, { b: 'c' }, { a: 'b', b: 'c' }],
  [{ a: 'b' }, { a: null }, {}],
  [{ a: 'b', b: 'c' }, { a: null }, { b: 'c' }],
  [{ a: ['b'] }, { a: 'c' }, { a: 'c' }],
  [{ a: 'c' }, { a: ['b'] }, { a: ['b'] }],
  [{ a: { b: 'c' } }, { a: { b: 'd', c: null } }, { a: { b: 'd' } }],
  [{ a: [{ b: 'c' }] }, { a: [1] }, { a: [1] }],
  [
    ['a', 'b'],
    ['c', 'd'],
    ['c', 'd'],
  ],
  [{ a: 'b' }, ['c'], ['c']],
  [{ a: 'foo' }, null, null],
  [{ a: 'foo' }, 'bar', 'bar'],
  [{ e: null }, { a: 1 }, { e: null, a: 1 }],
  [[1, 2], { a: 'b', c: null }, { a: 'b' }],
  [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
]

const json = fc.jsonValue({ maxDepth: 4 }) as fc.Arbitrary<Json>
const noNulls = (value: Json): boolean =>
  value !== null && (Array.isArray(value) ? true : isObject(value) ? Object.values(value).every(noNulls) : true)

describe('JSON merge patch', () => {
  test.each(examples)('RFC 7386: %j patched by %j is %j', (target, patch, expected) => {
    expect(mergePatch(target, patch)).toStrictEqual(expected)
  })

  test('is idempotent', () => {
    fc.assert(
      fc.property(json, json, (target, patch) => {
        const once = mergePatch(target, patch)
        expect(mergePatch(once, patch)).toStrictEqual(once)
      }),
    )
  })

  test('leaves what the patch does not name, takes what it does', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), json), fc.dictionary(fc.string(), json), (target, patch) => {
        const result = mergePatch(target, patch) as Record<string, Json>
        for (const [key, value] of Object.entries(target)) if (!Object.hasOwn(patch, key)) expect(result[key]).toStrictEqual(value)
        for (const [key, value] of Object.entries(patch)) {
          if (value === null) expect(Object.hasOwn(result, key)).toBe(false)
          else if (!isObject(value)) expect(result[key]).toStrictEqual(value)
        }
      }),
    )
  })

  test('without nulls a patch of the empty object is that object', () => {
    fc.assert(
      fc.property(json.filter(noNulls), (patch) => {
        expect(mergePatch({}, patch)).toStrictEqual(patch)
      }),
    )
  })

  test('changes neither argument', () => {
    fc.assert(
      fc.property(json, json, (target, patch) => {
        const before = JSON.stringify([target, patch])
        mergePatch(target, patch)
        expect(JSON.stringify([target, patch])).toBe(before)
      }),
    )
  })

  test('a key named __proto__ is a key', () => {
    const result = mergePatch({}, JSON.parse('{"__proto__": {"x": 1}}') as Json) as object
    expect(Object.hasOwn(result, '__proto__')).toBe(true)
    expect((result as { x?: number }).x).toBeUndefined()
  })
})
