import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { labelSelectorMatcher, parseFieldSelector, parseLabelSelector } from './selectors.ts'
import type { KubeObject } from './types.ts'

const key = fc.constantFrom('app', 'tier', 'example.com/zone')
const value = fc.constantFrom('', 'a', 'b-1', 'C_2.x', '7')
const labels = fc.dictionary(key, value)

/** One requirement as text, and what it means, written down a second time. */
const requirement = fc
  .tuple(
    key,
    fc.constantFrom('=', '==', '!=', 'in', 'notin', 'exists', 'absent'),
    fc.array(value, { minLength: 1, maxLength: 3 }),
    fc.boolean(),
  )
  .map(([name, operator, values, spaced]) => {
    const gap = spaced ? ' ' : ''
    const has = (own: Record<string, string>) => name in own && (values as string[]).includes(own[name]!)
    if (operator === 'exists') return { text: name, holds: (own: Record<string, string>) => name in own }
    if (operator === 'absent') return { text: `!${name}`, holds: (own: Record<string, string>) => !(name in own) }
    if (operator === 'in') return { text: `${name} in (${values.join(`,${gap}`)})`, holds: has }
    if (operator === 'notin')
      return { text: `${name} notin (${values.join(`,${gap}`)})`, holds: (own: Record<string, string>) => !has(own) }
    const same = (own: Record<string, string>) => own[name] === values[0]
    return {
      text: `${name}${gap}${operator}${gap}${values[0]}`,
      holds: operator === '!=' ? (own: Record<string, string>) => !same(own) : same,
    }
  })

describe('label selectors', () => {
  test('mean what their requirements mean, all together', () => {
    fc.assert(
      fc.property(fc.array(requirement, { minLength: 1, maxLength: 4 }), labels, (requirements, own) => {
        const matches = parseLabelSelector(requirements.map((r) => r.text).join(','))
        expect(matches(own)).toBe(requirements.every((r) => r.holds(own)))
      }),
    )
  })

  test('the empty one matches everything', () => {
    expect(parseLabelSelector('')(undefined)).toBe(true)
  })

  test.each([
    ['n>3', { n: '4' }, true],
    ['n>3', { n: '3' }, false],
    ['n<3', { n: '2' }, true],
    ['n<3', {}, false],
    ['n>3', { n: 'x' }, false],
  ])('%s of %o: %s', (text, own, expected) => {
    expect(parseLabelSelector(text)(own as Record<string, string>)).toBe(expected)
  })

  test.each(['a=b=c', 'a in b', 'a in (b', '=b', 'a,', 'a b', 'a in (b c)', 'a>x', '!', 'a=-'])('%s is refused with its place', (text) => {
    expect(() => parseLabelSelector(text)).toThrow(
      expect.objectContaining({ code: 400, message: expect.stringContaining(JSON.stringify(text)) }),
    )
  })

  test('objects with expressions', () => {
    const matches = labelSelectorMatcher({
      matchLabels: { app: 'x' },
      matchExpressions: [
        { key: 'tier', operator: 'In', values: ['a', 'b'] },
        { key: 'gone', operator: 'DoesNotExist' },
        { key: 'old', operator: 'NotIn', values: ['1'] },
      ],
    })
    expect(matches({ app: 'x', tier: 'a' })).toBe(true)
    expect(matches({ app: 'x', tier: 'c' })).toBe(false)
    expect(matches({ app: 'x', tier: 'a', gone: '' })).toBe(false)
    expect(matches({ app: 'x', tier: 'a', old: '1' })).toBe(false)
    expect(labelSelectorMatcher({})({ any: 'thing' })).toBe(true)
    expect(labelSelectorMatcher(undefined)({})).toBe(false)
  })
})

describe('field selectors', () => {
  const pod = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'p', namespace: 'n' },
    spec: { nodeName: 'node1' },
    status: { phase: 'Running' },
  }
  test.each([
    ['spec.nodeName=node1', true],
    ['spec.nodeName==node1,metadata.name=p', true],
    ['spec.nodeName!=node1', false],
    ['status.phase!=Failed,status.phase!=Succeeded', true],
    ['metadata.namespace=other', false],
    ['status.podIP=', true],
    ['spec.hostNetwork=false', true],
  ])('%s: %s', (text, expected) => {
    expect(parseFieldSelector(text, 'Pod')(pod as KubeObject)).toBe(expected)
  })

  test('escapes', () => {
    const event = { apiVersion: 'v1', kind: 'Event', metadata: { name: 'e' }, reason: 'a,b=c\\d' } as KubeObject
    expect(parseFieldSelector('reason=a\\,b\\=c\\\\d', 'Event')(event)).toBe(true)
  })

  test.each([
    ['spec.image=x', 'field label not supported: spec.image'],
    ['nonsense', 'nonsense'],
  ])('%s is refused', (text, message) => {
    expect(() => parseFieldSelector(text, 'Pod')).toThrow(expect.objectContaining({ code: 400, message: expect.stringContaining(message) }))
  })
})
