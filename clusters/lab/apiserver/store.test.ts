import fc from 'fast-check'
import { beforeEach, describe, expect, test } from 'vitest'
import { resources, Store, type WatchEvent } from './store.ts'

let store: Store
beforeEach(() => {
  store = new Store({ historySize: 10 })
  store.create(resources.namespaces, { metadata: { name: 'n' } })
  store.create(resources.serviceaccounts, { metadata: { name: 'default', namespace: 'n' } })
})

const ref = (name: string) => ({ name, namespace: 'n' })
const secret = (name: string, labels: Record<string, string> = {}) =>
  store.create(resources.secrets, { metadata: { ...ref(name), labels } })
const pod = (name: string, nodeName?: string) =>
  store.create(resources.pods, { metadata: ref(name), spec: { containers: [{ name: 'c', image: 'i:1' }], ...(nodeName && { nodeName }) } })
const label = (name: string, value: string | null) => store.patch(resources.secrets, ref(name), { metadata: { labels: { on: value } } })
const told = ({ type, object }: WatchEvent) => `${type} ${object.metadata.name}`

describe('watching', () => {
  test('what exists comes first, then changes, before the write returns; nothing after the stop', () => {
    const seen: string[] = []
    secret('a')
    const stop = store.watch(resources.secrets, { namespace: 'n' }, (event) => seen.push(told(event)))
    expect(seen).toStrictEqual(['ADDED a'])
    secret('b')
    label('a', '1')
    store.delete(resources.secrets, ref('b'))
    expect(seen).toStrictEqual(['ADDED a', 'ADDED b', 'MODIFIED a', 'DELETED b'])
    stop()
    secret('c')
    expect(seen).toHaveLength(4)
  })

  test('writes inside callbacks reach all watchers in one order, whoever writes first', () => {
    const seen: [string[], string[]] = [[], []]
    store.watch(resources.secrets, {}, (event) => {
      seen[0].push(told(event))
      if (told(event) === 'ADDED a') secret('b')
      if (told(event) === 'ADDED b') store.delete(resources.secrets, ref('a'))
    })
    store.watch(resources.secrets, {}, (event) => seen[1].push(told(event)))
    secret('a')
    expect(seen[0]).toStrictEqual(['ADDED a', 'ADDED b', 'DELETED a'])
    expect(seen[1]).toStrictEqual(seen[0])
  })

  test('a write inside the first callbacks does not come before what existed', () => {
    const seen: string[] = []
    secret('a')
    secret('b')
    store.watch(resources.secrets, {}, (event) => {
      seen.push(told(event))
      if (told(event) === 'ADDED a') label('b', '1')
    })
    expect(seen).toStrictEqual(['ADDED a', 'ADDED b', 'MODIFIED b'])
  })

  test('a watch that begins inside a callback hears each object once', () => {
    const seen: string[] = []
    const stop = store.watch(resources.secrets, {}, ({ object }) => {
      if (object.metadata.name !== 'a') return
      stop()
      secret('b')
      store.watch(resources.secrets, {}, (event) => seen.push(told(event)))
    })
    secret('a')
    expect(seen).toStrictEqual(['ADDED a', 'ADDED b'])
  })

  test('whatever happens, a watcher that mirrors events has what a list gives, also when it starts from an old version', () => {
    const act = fc.tuple(fc.constantFrom('create', 'on', 'off', 'delete'), fc.constantFrom('a', 'b', 'c'))
    fc.assert(
      fc.property(fc.array(act, { maxLength: 30 }), fc.nat(30), (acts, begin) => {
        const own = new Store({ historySize: 100 })
        own.create(resources.namespaces, { metadata: { name: 'n' } })
        const mirror = new Map<string, string | undefined>()
        const selection = { namespace: 'n', labelSelector: 'on=1' }
        const late = new Map<string, string | undefined>()
        const keep = (map: typeof mirror) => (event: WatchEvent) => {
          const { name, resourceVersion } = event.object.metadata
          expect(event.type === 'ADDED').toBe(!map.has(name))
          if (event.type === 'DELETED') map.delete(name)
          else map.set(name, resourceVersion)
        }
        own.watch(resources.secrets, selection, keep(mirror))
        let since = own.resourceVersion
        for (const [index, [what, name]] of acts.entries()) {
          if (index === begin) {
            since = own.resourceVersion
            for (const { metadata } of own.list(resources.secrets, selection)) late.set(metadata.name, metadata.resourceVersion)
          }
          const exists = own.find(resources.secrets, ref(name)) !== undefined
          if (what === 'create' && !exists) own.create(resources.secrets, { metadata: { ...ref(name), labels: { on: '1' } } })
          if (!exists) continue
          if (what === 'delete') own.delete(resources.secrets, ref(name))
          if (what === 'on' || what === 'off')
            own.patch(resources.secrets, ref(name), { metadata: { labels: { on: what === 'on' ? '1' : null } } })
        }
        own.watch(resources.secrets, { ...selection, resourceVersion: since }, keep(late))
        const listed = own.list(resources.secrets, selection).map(({ metadata }) => [metadata.name, metadata.resourceVersion])
        expect([...mirror].sort()).toStrictEqual(listed)
        expect([...late].sort()).toStrictEqual(listed)
      }),
    )
  })

  test('a forgotten version is 410 Expired, for watches and exact lists', () => {
    const old = store.resourceVersion
    secret('a')
    for (let i = 0; i < 30; i++) label('a', String(i))
    const expired = expect.objectContaining({ code: 410, reason: 'Expired', message: expect.stringContaining('too old resource version') })
    expect(() => store.watch(resources.secrets, { resourceVersion: old }, () => {})).toThrow(expired)
    expect(() => store.listPage(resources.secrets, { resourceVersion: old, resourceVersionMatch: 'Exact' })).toThrow(expired)
  })

  test('objects cannot be changed behind the store', () => {
    const object = secret('a', { on: '1' })
    expect(() => {
      object.metadata.labels!.on = '2'
    }).toThrow(TypeError)
  })
})

describe('deleting', () => {
  test('a pod on a node waits for its kubelet; a shorter grace is taken, a longer one not; one without node goes at once', () => {
    pod('bound', 'node1')
    expect(store.delete(resources.pods, ref('bound')).object.metadata.deletionGracePeriodSeconds).toBe(30)
    expect(store.delete(resources.pods, ref('bound'), { gracePeriodSeconds: 5 }).object.metadata.deletionGracePeriodSeconds).toBe(5)
    expect(store.delete(resources.pods, ref('bound'), { gracePeriodSeconds: 60 }).object.metadata.deletionGracePeriodSeconds).toBe(5)
    expect(store.delete(resources.pods, ref('bound'), { gracePeriodSeconds: 0 }).gone).toBe(true)
    pod('free')
    expect(store.delete(resources.pods, ref('free')).gone).toBe(true)
  })

  test('preconditions', () => {
    secret('a')
    const refused = expect.objectContaining({ code: 409, reason: 'Conflict' })
    expect(() => store.delete(resources.secrets, ref('a'), { preconditions: { uid: 'other' } })).toThrow(refused)
    expect(() => store.delete(resources.secrets, ref('a'), { preconditions: { resourceVersion: '1' } })).toThrow(refused)
  })

  test('finalizers hold an object; when the last is taken off, it goes; no new ones then', () => {
    const types: string[] = []
    store.create(resources.secrets, { metadata: { ...ref('a'), finalizers: ['x/one', 'x/two'] } })
    store.watch(resources.secrets, {}, ({ type }) => types.push(type))
    expect(store.delete(resources.secrets, ref('a')).gone).toBe(false)
    expect(store.get(resources.secrets, ref('a')).metadata.deletionTimestamp).toBeDefined()
    const more = { metadata: { finalizers: ['x/one', 'x/two', 'x/three'] } }
    expect(() => store.patch(resources.secrets, ref('a'), more)).toThrow(expect.objectContaining({ code: 422 }))
    store.patch(resources.secrets, ref('a'), { metadata: { finalizers: ['x/two'] } })
    store.patch(resources.secrets, ref('a'), { metadata: { finalizers: null } })
    expect(store.find(resources.secrets, ref('a'))).toBeUndefined()
    expect(types).toStrictEqual(['ADDED', 'MODIFIED', 'MODIFIED', 'DELETED'])
  })

  test('nothing new comes into a namespace that is being deleted', () => {
    store.delete(resources.namespaces, { name: 'n' })
    expect(store.get(resources.namespaces, { name: 'n' }).status).toStrictEqual({ phase: 'Terminating' })
    expect(() => secret('a')).toThrow(expect.objectContaining({ code: 403, message: expect.stringContaining('being terminated') }))
  })
})

describe('writing', () => {
  test('dry runs are checked and not kept', () => {
    const before = store.resourceVersion
    expect(store.create(resources.secrets, { metadata: ref('a') }, { dryRun: true }).metadata.uid).toBeDefined()
    expect(() => store.create(resources.secrets, { metadata: ref('B') }, { dryRun: true })).toThrow(expect.objectContaining({ code: 422 }))
    secret('b')
    expect(store.delete(resources.secrets, ref('b'), { dryRun: true }).gone).toBe(true)
    store.patch(resources.secrets, ref('b'), { data: { a: 'b' } }, { dryRun: true })
    expect(store.list(resources.secrets)).toHaveLength(1)
    expect(Number(store.resourceVersion)).toBe(Number(before) + 1)
  })

  test('generations count changes of the spec, not of metadata or status', () => {
    pod('a', 'node1')
    store.patch(resources.pods, ref('a'), { metadata: { annotations: { a: 'b' } } })
    store.patch(resources.pods, ref('a'), { status: { phase: 'Running' } }, { subresource: 'status' })
    expect(store.get(resources.pods, ref('a')).metadata.generation).toBe(1)
    store.patch(resources.pods, ref('a'), [{ op: 'replace', path: '/spec/containers/0/image', value: 'i:2' }], { type: 'json' })
    expect(store.get(resources.pods, ref('a')).metadata.generation).toBe(2)
  })

  test('a patch cannot rename', () => {
    secret('a')
    const refused = expect.objectContaining({ code: 400, message: expect.stringContaining('cannot change name') })
    expect(() => store.patch(resources.secrets, ref('a'), { metadata: { name: 'b' } })).toThrow(refused)
  })

  test('a custom object needs its version to be replaced', () => {
    const body = { metadata: ref('a'), spec: {} }
    store.create(resources.peerauthentications, body)
    const refused = expect.objectContaining({ code: 422, message: expect.stringContaining('must be specified for an update') })
    expect(() => store.update(resources.peerauthentications, body)).toThrow(refused)
  })

  test('the service CIDR runs out with a clear error', () => {
    const small = new Store({ serviceCidr: '10.1.0.0/29' })
    small.create(resources.namespaces, { metadata: { name: 'n' } })
    const create = () =>
      small.create(resources.services, { metadata: { generateName: 's-', namespace: 'n' }, spec: { ports: [{ port: 1 }] } })
    const addresses = Array.from({ length: 6 }, () => create().spec.clusterIP)
    expect(addresses.sort()).toStrictEqual(['10.1.0.1', '10.1.0.2', '10.1.0.3', '10.1.0.4', '10.1.0.5', '10.1.0.6'])
    expect(create).toThrow(expect.objectContaining({ code: 500, message: expect.stringContaining('10.1.0.0/29 is full') }))
  })
})
