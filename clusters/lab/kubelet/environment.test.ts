import { expect, test } from 'vitest'
import { environment, expand, MissingReference } from './environment.ts'
import type { PodFacts } from './fields.ts'
import type { Container, Pod } from './pod.ts'

const pod = {
  metadata: { name: 'p', namespace: 'demo', uid: 'u-1', labels: { 'a.b/c': 'x', app: 'y' }, annotations: { note: 'n' } },
  spec: {
    nodeName: 'one',
    serviceAccountName: 'sa',
    containers: [{ name: 'main', resources: { limits: { cpu: '1500m', memory: '1Gi' } } }],
  },
} as unknown as Pod
const facts: PodFacts = { pod, hostIP: '172.30.0.11', podIPs: ['10.244.1.2'] }
const objects = {
  configMap: (namespace: string, name: string) =>
    namespace === 'demo' && name === 'config' ? { data: { key: 'value', other: '2' } } : undefined,
  secret: (_: string, name: string) => (name === 'secret' ? { data: { key: Buffer.from('hidden').toString('base64') } } : undefined),
}
const of = (container: Partial<Container>) => environment({ name: 'main', ...container }, facts, objects, { BASE: 'b' })
const field = (fieldPath: string) => of({ env: [{ name: 'X', valueFrom: { fieldRef: { fieldPath } } }] }).X

test.each([
  ['metadata.name', 'p'],
  ['metadata.namespace', 'demo'],
  ['metadata.uid', 'u-1'],
  ["metadata.labels['a.b/c']", 'x'],
  ["metadata.labels['none']", ''],
  ["metadata.annotations['note']", 'n'],
  ['metadata.labels', 'a.b/c="x"\napp="y"'],
  ['spec.nodeName', 'one'],
  ['spec.serviceAccountName', 'sa'],
  ['status.podIP', '10.244.1.2'],
  ['status.hostIP', '172.30.0.11'],
])('fieldRef %s', (path, value) => {
  expect(field(path)).toBe(value)
})

test('a field that does not exist is named with those that do', () => {
  expect(() => field('status.colour')).toThrow(/"status\.colour".*metadata\.name/)
})

test.each([
  ['limits.cpu', undefined, '2'],
  ['limits.cpu', '1m', '1500'],
  ['limits.memory', '1Mi', '1024'],
])('resourceFieldRef %s in units of %s', (resource, divisor, value) => {
  const resourceFieldRef = { resource, ...(divisor ? { divisor } : {}) }
  expect(of({ env: [{ name: 'X', valueFrom: { resourceFieldRef } }] }).X).toBe(value)
})

test('keys of ConfigMaps and Secrets; optional ones may be missing', () => {
  const env = of({
    env: [
      { name: 'A', valueFrom: { configMapKeyRef: { name: 'config', key: 'key' } } },
      { name: 'B', valueFrom: { secretKeyRef: { name: 'secret', key: 'key' } } },
      { name: 'C', valueFrom: { configMapKeyRef: { name: 'nowhere', key: 'key', optional: true } } },
    ],
  })
  expect(env).toEqual({ BASE: 'b', A: 'value', B: 'hidden' })
})

test.each([
  [{ env: [{ name: 'A', valueFrom: { configMapKeyRef: { name: 'nowhere', key: 'k' } } }] }, /configmap "nowhere" not found/],
  [{ env: [{ name: 'A', valueFrom: { secretKeyRef: { name: 'secret', key: 'k' } } }] }, /couldn't find key k in Secret demo\/secret/],
  [{ envFrom: [{ secretRef: { name: 'nowhere' } }] }, /secret "nowhere" not found/],
])('a missing reference is one that may appear later: %j', (container, message) => {
  expect(() => of(container)).toThrow(MissingReference)
  expect(() => of(container)).toThrow(message)
})

test('envFrom comes first, own variables win, $(NAME) means variables before', () => {
  const env = of({
    envFrom: [{ configMapRef: { name: 'config' }, prefix: 'P_' }],
    env: [
      { name: 'P_key', value: 'mine' },
      { name: 'X', value: '$(P_key)-$(P_other)-$(LATER)-$$(BASE)-$(BASE)' },
      { name: 'LATER', value: 'l' },
    ],
  })
  expect(env).toEqual({ BASE: 'b', P_key: 'mine', P_other: '2', X: 'mine-2-$(LATER)-$(BASE)-b', LATER: 'l' })
})

test('expand leaves shell syntax alone', () => {
  // biome-ignore lint/suspicious/noTemplateCurlyInString: that is what a shell script has
  expect(expand('$HOME ${X} $$ $(date)', {})).toBe('$HOME ${X} $ $(date)')
})
