import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Json } from '../json.ts'
import { jsonPatch } from './json-patch.ts'

/** RFC 6902, appendix A. */
const examples: [string, Json, Json, Json][] = [
  ['A.1', { foo: 'bar' }, [{ op: 'add', path: '/baz', value: 'qux' }], { baz: 'qux', foo: 'bar' }],
  ['A.2', { foo: ['bar', 'baz'] }, [{ op: 'add', path: '/foo/1', value: 'qux' }], { foo: ['bar', 'qux', 'baz'] }],
  ['A.3', { baz: 'qux', foo: 'bar' }, [{ op: 'remove', path: '/baz' }], { foo: 'bar' }],
  ['A.4', { foo: ['bar', 'qux', 'baz'] }, [{ op: 'remove', path: '/foo/1' }], { foo: ['bar', 'baz'] }],
  ['A.5', { baz: 'qux', foo: 'bar' }, [{ op: 'replace', path: '/baz', value: 'boo' }], { baz: 'boo', foo: 'bar' }],
  [
    'A.6',
    { foo: { bar: 'baz', waldo: 'fred' }, qux: { corge: 'grault' } },
    [{ op: 'move', from: '/foo/waldo', path: '/qux/thud' }],
    { foo: { bar: 'baz' }, qux: { corge: 'grault', thud: 'fred' } },
  ],
  [
    'A.7',
    { foo: ['all', 'grass', 'cows', 'eat'] },
    [{ op: 'move', from: '/foo/1', path: '/foo/3' }],
    { foo: ['all', 'cows', 'eat', 'grass'] },
  ],
  ['A.8', { baz: 'qux', foo: ['a', 2, 'c'] }, [{ op: 'test', path: '/foo/1', value: 2 }], { baz: 'qux', foo: ['a', 2, 'c'] }],
  ['A.10', { foo: 'bar' }, [{ op: 'add', path: '/child', value: { grandchild: {} } }], { foo: 'bar', child: { grandchild: {} } }],
  ['A.11', { foo: 'bar' }, [{ op: 'add', path: '/baz', value: 'qux', xyz: 123 }], { foo: 'bar', baz: 'qux' }],
  ['A.14', { '/': 9, '~1': 10 }, [{ op: 'test', path: '/~01', value: 10 }], { '/': 9, '~1': 10 }],
  ['A.16', { foo: ['bar'] }, [{ op: 'add', path: '/foo/-', value: ['abc', 'def'] }], { foo: ['bar', ['abc', 'def']] }],
  ['copy', { a: [1] }, [{ op: 'copy', from: '/a', path: '/b' }], { a: [1], b: [1] }],
  ['whole', { a: 1 }, [{ op: 'replace', path: '', value: { b: 2 } }], { b: 2 }],
]

describe('JSON patch', () => {
  test.each(examples)('RFC 6902 %s', (_name, target, patch, expected) => {
    const before = JSON.stringify(target)
    expect(jsonPatch(target, patch)).toStrictEqual(expected)
    expect(JSON.stringify(target)).toBe(before)
  })

  test.each<[string, Json, Json, number, string]>([
    ['A.9 a test that fails', { baz: 'qux' }, [{ op: 'test', path: '/baz', value: 'bar' }], 422, 'operation 0 (test "/baz")'],
    ['A.12 add without parent', { foo: 'bar' }, [{ op: 'add', path: '/baz/bat', value: 'qux' }], 422, 'nothing at "baz"'],
    ['A.15 number and text differ', { '/': 9, '~1': 10 }, [{ op: 'test', path: '/~01', value: '10' }], 422, 'operation 0'],
    ['remove of nothing', {}, [{ op: 'remove', path: '/a' }], 422, 'nothing at "a"'],
    ['index outside', { a: [] }, [{ op: 'add', path: '/a/1', value: 0 }], 422, 'no index'],
    ['index with a leading zero', { a: [1] }, [{ op: 'remove', path: '/a/00' }], 422, 'no index'],
    ['move into itself', { a: { b: 1 } }, [{ op: 'move', from: '/a', path: '/a/b' }], 422, 'into itself'],
    ['inherited names', {}, [{ op: 'test', path: '/constructor', value: 1 }], 422, 'nothing at'],
    ['no list', {}, { op: 'add' }, 400, 'list of operations'],
    ['unknown op', {}, [{ op: 'x', path: '' }], 400, 'operation 0'],
    ['bad pointer', {}, [{ op: 'remove', path: 'a' }], 400, 'no JSON pointer'],
    ['no value', {}, [{ op: 'add', path: '/a' }], 400, 'value is missing'],
    ['no from', {}, [{ op: 'copy', path: '/a' }], 400, 'JSON pointer'],
  ])('%s is refused', (_name, target, patch, code, message) => {
    expect(() => jsonPatch(target, patch)).toThrow(expect.objectContaining({ code, message: expect.stringContaining(message) }))
  })

  test('a replaced value can be read back by a test', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.string(), (value, key) => {
        const path = `/${key.replaceAll('~', '~0').replaceAll('/', '~1')}`
        const patched = jsonPatch({}, [{ op: 'add', path, value: value as Json }])
        expect(() => jsonPatch(patched, [{ op: 'test', path, value: value as Json }])).not.toThrow()
      }),
    )
  })
})
