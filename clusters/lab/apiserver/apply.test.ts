import { beforeEach, describe, expect, test } from 'vitest'
import { resources, Store } from './store.ts'
import type { KubeObject } from './types.ts'

let store: Store
beforeEach(() => {
  store = new Store()
  store.create(resources.namespaces, { metadata: { name: 'n' } })
})

const configMap = (data: Record<string, string>) => ({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'm', namespace: 'n' }, data })
const deployment = (containers: object[]) => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name: 'd', namespace: 'n' },
  spec: { selector: { matchLabels: { app: 'x' } }, template: { metadata: { labels: { app: 'x' } }, spec: { containers } } },
})
const apply = (object: object, fieldManager: string, force = false) => {
  const { kind } = object as KubeObject
  const resource = kind === 'Deployment' ? resources.deployments : resources.configmaps
  return store.apply(resource as typeof resources.configmaps, object as KubeObject, { fieldManager, force })
}
const containers = (object: KubeObject) =>
  (object.spec as { template: { spec: { containers: Record<string, unknown>[] } } }).template.spec.containers

describe('server-side apply', () => {
  test('creates, then removes what its manager no longer applies, and only that', () => {
    apply(configMap({ a: '1', b: '1' }), 'one')
    store.patch(resources.configmaps, { name: 'm', namespace: 'n' }, { data: { byHand: '1' } })
    expect(apply(configMap({ b: '2' }), 'one').data).toStrictEqual({ b: '2', byHand: '1' })
  })

  test('a field that two managers applied stays when one lets go of it', () => {
    apply(configMap({ a: '1', b: '1' }), 'one')
    apply(configMap({ a: '1' }), 'two')
    expect(apply(configMap({ b: '1' }), 'one').data).toStrictEqual({ a: '1', b: '1' })
    expect(apply({ ...configMap({}), data: undefined }, 'two').data).toStrictEqual({ b: '1' })
  })

  test('another value for a field that another manager applied is a conflict that names both; force takes the field', () => {
    apply(configMap({ a: '1' }), 'one')
    const refused = expect.objectContaining({
      code: 409,
      reason: 'Conflict',
      message: expect.stringContaining('conflict with "one": .data.a'),
    })
    expect(() => apply(configMap({ a: '2' }), 'two')).toThrow(refused)
    expect(apply(configMap({ a: '2' }), 'two', true).data).toStrictEqual({ a: '2' })
    expect(() => apply(configMap({ a: '1' }), 'one')).toThrow(expect.objectContaining({ code: 409 }))
  })

  test('the same again changes nothing, not even the version', () => {
    const first = apply(deployment([{ name: 'c', image: 'i:1' }]), 'one')
    expect(apply(deployment([{ name: 'c', image: 'i:1' }]), 'one').metadata.resourceVersion).toBe(first.metadata.resourceVersion)
    expect(first.metadata.generation).toBe(1)
  })

  test('lists with keys are merged by item, and items that are no longer applied go, defaults included', () => {
    const ports = [{ containerPort: 80 }, { containerPort: 80, protocol: 'UDP' }]
    apply(
      deployment([
        { name: 'c', image: 'i:1', ports, env: [{ name: 'A', value: '1' }] },
        { name: 'd', image: 'i:1' },
      ]),
      'one',
    )
    apply(deployment([{ name: 'c', image: 'i:1', env: [{ name: 'B', value: '2' }] }]), 'two')
    const last = apply(deployment([{ name: 'c', image: 'i:1', ports: ports.slice(1) }]), 'one')
    expect(containers(last)).toStrictEqual([
      expect.objectContaining({
        name: 'c',
        image: 'i:1',
        ports: [{ containerPort: 80, protocol: 'UDP' }],
        env: [{ name: 'B', value: '2' }],
      }),
    ])
    expect(last.metadata.generation).toBe(3)
  })

  test('records what each manager owns as FieldsV1', () => {
    const { managedFields } = apply(deployment([{ name: 'c', image: 'i:1' }]), 'one').metadata
    expect(managedFields).toMatchObject([{ manager: 'one', operation: 'Apply', apiVersion: 'apps/v1', fieldsType: 'FieldsV1' }])
    expect(managedFields![0]!.fieldsV1).toStrictEqual({
      'f:spec': {
        'f:selector': {},
        'f:template': {
          'f:metadata': { 'f:labels': { 'f:app': {} } },
          'f:spec': { 'f:containers': { 'k:{"name":"c"}': { '.': {}, 'f:name': {}, 'f:image': {} } } },
        },
      },
    })
  })

  test.each([
    ['no manager', configMap({}), '', 422, 'fieldManager'],
    ['no kind', { ...configMap({}), kind: undefined }, 'one', 400, 'kind: ConfigMap'],
    [
      'managedFields',
      { ...configMap({}), metadata: { ...configMap({}).metadata, managedFields: [{}] } },
      'one',
      400,
      'managedFields must be nil',
    ],
    [
      'duplicate items',
      deployment([
        { name: 'c', image: 'a' },
        { name: 'c', image: 'b' },
      ]),
      'one',
      400,
      'duplicate entries for key {"name":"c"}',
    ],
    ['items without key', deployment([{ image: 'a' }]), 'one', 400, 'lacks its key (name)'],
    ['a stale version', { ...configMap({}), metadata: { ...configMap({}).metadata, resourceVersion: '1' } }, 'one', 404, 'not found'],
  ])('%s is refused', (_name, object, manager, code, message) => {
    expect(() => apply(object, manager)).toThrow(expect.objectContaining({ code, message: expect.stringContaining(message) }))
  })

  test('a version other than the current one is a conflict', () => {
    apply(configMap({ a: '1' }), 'one')
    const object = configMap({ a: '2' })
    expect(() => apply({ ...object, metadata: { ...object.metadata, resourceVersion: '1' } }, 'one')).toThrow(
      expect.objectContaining({ code: 409 }),
    )
  })
})
