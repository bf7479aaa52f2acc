import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { DeltaDiscoveryRequest, type DeltaDiscoveryRequestInit } from '../../lib/xds/messages.ts'
import { ResourceSet } from '../resources/resource-set.ts'
import { Watch } from './watch.ts'

const request = (init: DeltaDiscoveryRequestInit) => DeltaDiscoveryRequest.decode(DeltaDiscoveryRequest.encode(init))
const entry = (name: string, content: string, aliases: string[] = [], belongsTo: string[] = []) => ({
  name,
  bytes: Buffer.from(content),
  aliases,
  belongsTo,
})
function setOf(...entries: ReturnType<typeof entry>[]): ResourceSet {
  const set = new ResourceSet()
  for (const e of entries) set.put(e)
  return set
}
const said = (watch: Watch) => {
  const delta = watch.take()
  return delta && [delta.resources.map((r) => r.name), delta.removed]
}

describe('a wildcard', () => {
  test('is answered once, also with nothing; then only what changes is told', () => {
    const set = setOf()
    const watch = new Watch(set)
    expect(watch.waits).toBe(false)
    expect(watch.hear(request({}))).toBe('subscribed')
    expect(said(watch)).toEqual([[], []])
    expect(said(watch)).toBeUndefined()
    set.put(entry('a', '1'))
    watch.note({ changed: ['a'], removed: [] })
    expect(said(watch)).toEqual([['a'], []])
  })

  test('what changes twice before it is sent is sent once, as it is then; what comes and goes is not told', () => {
    const set = setOf(entry('a', '1'))
    const watch = new Watch(set)
    watch.hear(request({}))
    watch.take()
    for (const content of ['2', '3']) {
      set.put(entry('a', content))
      watch.note({ changed: ['a'], removed: [] })
    }
    set.put(entry('b', '1'))
    watch.note({ changed: ['b'], removed: [] })
    set.remove('b')
    watch.note({ changed: [], removed: ['b'] })
    expect(watch.take()?.resources).toEqual([set.get('a')])
    expect(said(watch)).toBeUndefined()
  })

  test('with versions that the client has: what is equal is not sent, what is gone is removed', () => {
    const set = setOf(entry('same', '1'), entry('other', '2'), entry('new', '3'))
    const watch = new Watch(set)
    watch.hear(request({ initialResourceVersions: { same: set.get('same')!.version, other: 'old', gone: 'x' } }))
    expect(said(watch)).toEqual([['other', 'new'], ['gone']])
  })
})

describe('what a request means', () => {
  const set = setOf(entry('a', '1'))
  const begun = () => {
    const watch = new Watch(set)
    watch.hear(request({}))
    watch.take()
    watch.nonce = 'n1'
    return watch
  }
  test.each<[string, DeltaDiscoveryRequestInit, string]>([
    ['an acknowledgement', { responseNonce: 'n1' }, 'acknowledged'],
    ['a refusal', { responseNonce: 'n1', errorDetail: { code: 3 } }, 'refused'],
    ['an answer to something older', { responseNonce: 'n0' }, 'stale'],
  ])('%s', (_, init, heard) => {
    const watch = begun()
    expect(watch.hear(request(init))).toBe(heard)
    expect(said(watch)).toBeUndefined()
  })

  test('a subscription counts whatever nonce it comes with', () => {
    const watch = begun()
    expect(watch.hear(request({ responseNonce: 'n0', resourceNamesSubscribe: ['a'] }))).toBe('subscribed')
    expect(said(watch)).toEqual([['a'], []])
  })
})

describe('on demand', () => {
  const service = entry('ns/svc', 's', ['/10.9.0.1'])
  const member = entry('uid', 'w', ['/10.0.0.1'], ['ns/svc'])
  const onDemand = (set: ResourceSet, init: DeltaDiscoveryRequestInit = {}) => {
    const watch = new Watch(set)
    watch.hear(request({ resourceNamesSubscribe: ['*'], resourceNamesUnsubscribe: ['*'], ...init }))
    return watch
  }

  test('an address of a service stands for the service and its workloads, also later ones', () => {
    const set = setOf(service, member)
    const watch = onDemand(set)
    expect(said(watch)).toEqual([[], []])
    watch.hear(request({ resourceNamesSubscribe: ['/10.9.0.1'] }))
    expect(said(watch)).toEqual([['ns/svc', 'uid'], []])
    set.put(entry('late', 'w', [], ['ns/svc']))
    set.put(entry('stranger', 'w'))
    watch.note({ changed: ['late', 'stranger'], removed: [] })
    expect(said(watch)).toEqual([['late'], []])
  })

  test('who comes back need not ask again for what it has', () => {
    const set = setOf(service, member)
    const watch = onDemand(set, { initialResourceVersions: { uid: set.get('uid')!.version, gone: '1' } })
    expect(said(watch)).toEqual([[], ['gone']])
    set.put(entry('uid', 'changed'))
    watch.note({ changed: ['uid'], removed: [] })
    expect(said(watch)).toEqual([['uid'], []])
  })

  test('what is asked for again is sent again; what nobody asks for any longer is not told', () => {
    const set = setOf(member)
    const watch = onDemand(set)
    watch.take()
    for (let i = 0; i < 2; i++) {
      watch.hear(request({ resourceNamesSubscribe: ['uid'] }))
      expect(said(watch)).toEqual([['uid'], []])
    }
    watch.hear(request({ resourceNamesUnsubscribe: ['uid'] }))
    set.remove('uid')
    watch.note({ changed: [], removed: ['uid'] })
    expect(said(watch)).toBeUndefined()
  })
})

test('whatever changes and whenever it is sent, a client ends up with what there is', () => {
  const name = fc.constantFrom('a', 'b', 'c')
  const step = fc.oneof(
    fc.record({ do: fc.constant('put' as const), name, content: fc.constantFrom('1', '2') }),
    fc.record({ do: fc.constant('remove' as const), name }),
    fc.constant({ do: 'take' as const }),
    fc.constant({ do: 'reconnect' as const }),
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const set = new ResourceSet()
      const client = new Map<string, string>()
      const connect = () => {
        const made = new Watch(set)
        made.hear(request({ initialResourceVersions: Object.fromEntries(client) }))
        return made
      }
      let watch = connect()
      let sent = 0
      const take = () => {
        const delta = watch.take()
        for (const { name: n, version } of delta?.resources ?? []) {
          // Nothing is sent that the client has.
          expect(client.get(n)).not.toBe(version)
          client.set(n, version)
          sent++
        }
        for (const n of delta?.removed ?? []) expect(client.delete(n)).toBe(true)
      }
      for (const s of steps) {
        if (s.do === 'put' && set.put(entry(s.name, s.content))) watch.note({ changed: [s.name], removed: [] })
        else if (s.do === 'remove' && set.remove(s.name)) watch.note({ changed: [], removed: [s.name] })
        else if (s.do === 'take') take()
        else if (s.do === 'reconnect') watch = connect()
      }
      take()
      expect(Object.fromEntries(client)).toEqual(Object.fromEntries([...set.names()].map((n) => [n, set.get(n)!.version])))
      expect(sent).toBeLessThanOrEqual(steps.filter((s) => s.do === 'put').length)
    }),
  )
})
