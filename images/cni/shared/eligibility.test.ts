import { expect, test } from 'vitest'
import { type Candidate, defaultSelectors, isEligible, matches, namespaceSelectors } from './eligibility.ts'

const rules = { selectors: defaultSelectors, excludeNamespaces: ['kube-system'], systemNamespace: 'istio-system' }
const ambient = { 'istio.io/dataplane-mode': 'ambient' }
const none = { 'istio.io/dataplane-mode': 'none' }
const pod = (more: Partial<Candidate> = {}): Candidate => ({ namespace: 'demo', labels: {}, annotations: {}, hostNetwork: false, ...more })

test.each<[string, Candidate, Record<string, string>, boolean]>([
  ['nothing says ambient', pod(), {}, false],
  ['the namespace does', pod(), ambient, true],
  ['the pod does', pod({ labels: ambient }), {}, true],
  ['the pod says none', pod({ labels: none }), ambient, false],
  ['the pod does, in a namespace that says none', pod({ labels: ambient }), none, true],
  ['hostNetwork', pod({ hostNetwork: true }), ambient, false],
  ['a sidecar', pod({ annotations: { 'sidecar.istio.io/status': '{}' } }), ambient, false],
  ['an excluded namespace', pod({ namespace: 'kube-system', labels: ambient }), ambient, false],
  ['ztunnel itself', pod({ namespace: 'istio-system', labels: { app: 'ztunnel' } }), ambient, false],
  ['another ztunnel, elsewhere', pod({ labels: { app: 'ztunnel' } }), ambient, true],
])('%s', (_, candidate, namespaceLabels, expected) => {
  expect(isEligible(candidate, namespaceLabels, rules)).toBe(expected)
})

// Fact sheet: geneve mode, 5.3.
const rules120 = { ...rules, selectors: namespaceSelectors, annotationOptsOut: true }
const redirection = (value: string) => ({ 'ambient.istio.io/redirection': value })
test.each<[string, Candidate, Record<string, string>, boolean]>([
  ['the namespace says ambient', pod(), ambient, true],
  ["the pod's own label opts in", pod({ labels: ambient }), {}, false],
  ["the pod's own label opts out", pod({ labels: none }), ambient, true],
  ['the annotation opts out', pod({ annotations: redirection('disabled') }), ambient, false],
  ['the annotation of a pod that is enrolled', pod({ annotations: redirection('enabled') }), ambient, true],
  ['the annotation opts in', pod({ annotations: redirection('enabled') }), {}, false],
  ['a sidecar', pod({ annotations: { 'sidecar.istio.io/status': '{}' } }), ambient, false],
])('to 1.20: %s', (_, candidate, namespaceLabels, expected) => {
  expect(isEligible(candidate, namespaceLabels, rules120)).toBe(expected)
})

test('since 1.21 the annotation only tells', () =>
  expect(isEligible(pod({ annotations: redirection('disabled') }), ambient, rules)).toBe(true))

test('label selectors as Kubernetes has them', () => {
  const one = (operator: string, values: string[] = []) => ({ matchExpressions: [{ key: 'a', operator, values }] })
  expect(matches({}, {})).toBe(true)
  expect(matches(undefined, {})).toBe(true)
  expect(matches(one('In', ['x']), { a: 'x' })).toBe(true)
  expect(matches(one('In', ['x']), {})).toBe(false)
  expect(matches(one('NotIn', ['x']), {})).toBe(true)
  expect(matches(one('NotIn', ['x']), { a: 'x' })).toBe(false)
  expect(matches(one('Exists'), { a: '' })).toBe(true)
  expect(matches(one('DoesNotExist'), { a: '' })).toBe(false)
  expect(() => matches(one('Near'), {})).toThrow(/operator "Near"/)
})
