import { describe, expect, test } from 'vitest'
import type { JsonObject } from '../json.ts'
import { schemaOf } from './schema.ts'
import { strategicMergePatch } from './strategic.ts'

const pod: JsonObject = {
  metadata: { labels: { a: '1' }, finalizers: ['x'] },
  spec: {
    containers: [
      { name: 'one', image: 'i:1', env: [{ name: 'A', value: '1' }], args: ['x', 'y'] },
      { name: 'two', image: 'i:1' },
    ],
    volumes: [{ name: 'v', emptyDir: {} }],
    tolerations: [{ key: 'k' }],
  },
  status: { conditions: [{ type: 'Ready', status: 'False' }] },
}
const patch = (change: JsonObject) => strategicMergePatch(pod, change, schemaOf('Pod', false)) as typeof pod & Record<string, JsonObject>

describe('strategic merge patch', () => {
  test('merges containers, and their variables, by name; plain lists are replaced', () => {
    const { spec } = patch({ spec: { containers: [{ name: 'one', image: 'i:2', env: [{ name: 'B', value: '2' }], args: ['z'] }] } })
    expect(spec!.containers).toStrictEqual([
      {
        name: 'one',
        image: 'i:2',
        env: [
          { name: 'A', value: '1' },
          { name: 'B', value: '2' },
        ],
        args: ['z'],
      },
      { name: 'two', image: 'i:1' },
    ])
  })

  test('merges conditions by type, atomic lists not at all', () => {
    const { status, spec } = patch({
      status: {
        conditions: [
          { type: 'Ready', status: 'True' },
          { type: 'New', status: 'True' },
        ],
      },
      spec: { tolerations: [{ key: 'other' }] },
    })
    expect(status!.conditions).toStrictEqual([
      { type: 'Ready', status: 'True' },
      { type: 'New', status: 'True' },
    ])
    expect(spec!.tolerations).toStrictEqual([{ key: 'other' }])
  })

  test('directives', () => {
    expect(patch({ spec: { containers: [{ name: 'two', $patch: 'delete' }] } }).spec!.containers).toHaveLength(1)
    expect(patch({ spec: { volumes: [{ $patch: 'replace' }, { name: 'w' }] } }).spec!.volumes).toStrictEqual([{ name: 'w' }])
    expect(patch({ metadata: { labels: { $patch: 'replace', b: '2' } } }).metadata!.labels).toStrictEqual({ b: '2' })
    expect(patch({ metadata: { labels: null } }).metadata).toStrictEqual({ finalizers: ['x'] })
    expect(patch({ metadata: { finalizers: ['y', 'x'] } }).metadata!.finalizers).toStrictEqual(['x', 'y'])
    expect(patch({ metadata: { '$deleteFromPrimitiveList/finalizers': ['x'] } }).metadata!.finalizers).toStrictEqual([])
    const { spec } = patch({
      spec: { '$setElementOrder/containers': [{ name: 'two' }, { name: 'one' }], containers: [{ name: 'two', image: 'i:3' }] },
    })
    expect((spec!.containers as JsonObject[]).map((c) => [c.name, c.image])).toStrictEqual([
      ['two', 'i:3'],
      ['one', 'i:1'],
    ])
    expect(
      patch({ spec: { volumes: [{ name: 'v', $retainKeys: ['name', 'hostPath'], hostPath: { path: '/x' } }] } }).spec!.volumes,
    ).toStrictEqual([{ name: 'v', hostPath: { path: '/x' } }])
  })

  test('an item without its key is refused with its place', () => {
    const refused = expect.objectContaining({ code: 400, message: expect.stringContaining('spec.containers[0]') })
    expect(() => patch({ spec: { containers: [{ image: 'x' }] } })).toThrow(refused)
    expect(() => patch({ spec: { $patch: 'nonsense' } })).toThrow(
      expect.objectContaining({ code: 400, message: expect.stringContaining('spec') }),
    )
  })
})
