import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { resources } from '../apiserver/store.ts'
import type { Pod } from '../apiserver/types.ts'
import { TestCluster, template } from './test-cluster.ts'

let cluster: TestCluster
beforeEach(() => {
  cluster = new TestCluster()
})
afterEach(() => {
  cluster[Symbol.dispose]()
  expect(cluster.errors).toStrictEqual([])
})

const on = (pods: readonly Pod[]) => pods.map((pod) => pod.spec.nodeName).sort()
const images = () => cluster.pods().map((pod) => pod.spec.containers[0]!.image)

describe('DaemonSets', () => {
  const apply = (image: string, spec: object = {}, rollingUpdate: object = { maxSurge: 1, maxUnavailable: 0 }) =>
    cluster.store.apply(
      resources.daemonsets,
      {
        apiVersion: 'apps/v1',
        kind: 'DaemonSet',
        metadata: { name: 'd', namespace: 'n' },
        spec: { selector: { matchLabels: { app: 'd' } }, template: template('d', image, spec), updateStrategy: { rollingUpdate } },
      },
      { fieldManager: 'test' },
    )

  test('run one pod a node, as nodes come and go, and say so in their status', async () => {
    apply('i:1')
    await cluster.settle()
    expect(on(cluster.pods())).toStrictEqual(['node1', 'node2'])
    expect(cluster.get(resources.daemonsets, 'd').status).toStrictEqual({
      currentNumberScheduled: 2,
      desiredNumberScheduled: 2,
      numberMisscheduled: 0,
      numberReady: 2,
      updatedNumberScheduled: 2,
      numberAvailable: 2,
      observedGeneration: 1,
    })
    cluster.addNode('node3')
    await cluster.settle()
    expect(on(cluster.pods())).toStrictEqual(['node1', 'node2', 'node3'])
    cluster.store.delete(resources.nodes, { name: 'node1' })
    await cluster.settle()
    expect(on(cluster.pods())).toStrictEqual(['node2', 'node3'])
  })

  test('come back when a pod is deleted or fails, but not beside one that is still ending', async () => {
    apply('i:1')
    await cluster.settle()
    cluster.lingering = true
    const [first, second] = cluster.pods() as [Pod, Pod]
    cluster.store.delete(resources.pods, first.metadata)
    cluster.setStatus(second, { phase: 'Failed' })
    await cluster.settle()
    expect(cluster.pods()).toHaveLength(2)
    cluster.lingering = false
    cluster.kubelet(cluster.get(resources.pods, first.metadata.name))
    await cluster.settle()
    expect(on(cluster.pods())).toStrictEqual(['node1', 'node2'])
    expect(cluster.pods().map((pod) => pod.metadata.uid)).not.toContain(second.metadata.uid)
  })

  test('a pod that fails again at once is not replaced in a hurry', async () => {
    apply('i:1')
    await cluster.settle()
    for (let i = 0; i < 2; i++) {
      const pod = cluster.pods().find((p) => p.spec.nodeName === 'node1')!
      cluster.setStatus(pod, { phase: 'Failed' })
      await cluster.settle()
    }
    expect(
      cluster
        .pods()
        .map((p) => [p.spec.nodeName, p.status!.phase])
        .sort(),
    ).toStrictEqual([
      ['node1', 'Failed'],
      ['node2', 'Running'],
    ])
  })

  test('surge: the new pod starts beside the old one, which goes when the new one is ready; one node at a time', async () => {
    apply('i:1')
    await cluster.settle()
    cluster.becomesReady = () => false
    apply('i:2')
    await cluster.settle()
    expect(images().sort()).toStrictEqual(['i:1', 'i:1', 'i:2'])
    const fresh = () => cluster.pods().filter((pod) => pod.spec.containers[0]!.image === 'i:2')
    cluster.setReady(fresh()[0]!, true)
    await cluster.settle()
    expect(images().sort()).toStrictEqual(['i:1', 'i:2', 'i:2'])
    for (const pod of fresh()) cluster.setReady(pod, true)
    await cluster.settle()
    expect(images()).toStrictEqual(['i:2', 'i:2'])
    expect(on(cluster.pods())).toStrictEqual(['node1', 'node2'])
  })

  test('without surge the old pod goes first, never more than may be unavailable', async () => {
    const rolling = { maxSurge: 0, maxUnavailable: 1 }
    apply('i:1', {}, rolling)
    await cluster.settle()
    cluster.becomesReady = () => false
    apply('i:2', {}, rolling)
    await cluster.settle()
    expect(images().sort()).toStrictEqual(['i:1', 'i:2'])
    cluster.setReady(cluster.pods().find((pod) => pod.spec.containers[0]!.image === 'i:2')!, true)
    await cluster.settle()
    expect(images()).toStrictEqual(['i:2', 'i:2'])
  })

  test('keep to node selectors and taints', async () => {
    cluster.addNode('special', { pool: 'x' })
    apply('i:1', { nodeSelector: { pool: 'x' } })
    await cluster.settle()
    expect(on(cluster.pods())).toStrictEqual(['special'])
    const taints = [{ key: 'k', effect: 'NoSchedule' }]
    cluster.store.patch(resources.nodes, { name: 'special' }, { spec: { taints } })
    await cluster.settle()
    expect(cluster.pods()).toHaveLength(0)
    apply('i:1', { nodeSelector: { pool: 'x' }, tolerations: [{ key: 'k', operator: 'Exists' }] })
    await cluster.settle()
    expect(on(cluster.pods())).toStrictEqual(['special'])
  })

  test('run on nodes that are not ready, since they may be what makes them ready', async () => {
    cluster.store.patch(
      resources.nodes,
      { name: 'node1' },
      { status: { conditions: [{ type: 'Ready', status: 'False' }] } },
      { subresource: 'status' },
    )
    apply('i:1')
    await cluster.settle()
    expect(on(cluster.pods())).toStrictEqual(['node1', 'node2'])
  })

  test.each(['Background', 'Foreground'] as const)('take their pods along when deleted (%s)', async (propagationPolicy) => {
    apply('i:1')
    await cluster.settle()
    cluster.lingering = true
    const { gone } = cluster.store.delete(resources.daemonsets, { name: 'd', namespace: 'n' }, { propagationPolicy })
    expect(gone).toBe(propagationPolicy === 'Background')
    await cluster.settle()
    expect(cluster.pods().every((pod) => pod.metadata.deletionTimestamp)).toBe(true)
    expect(cluster.pods()).toHaveLength(2)
    cluster.lingering = false
    for (const pod of cluster.pods()) cluster.kubelet(pod)
    await cluster.settle()
    expect([cluster.pods(), cluster.store.list(resources.daemonsets)]).toStrictEqual([[], []])
  })
})

describe('Deployments', () => {
  const apply = (image: string, spec: object = {}) =>
    cluster.store.apply(
      resources.deployments,
      {
        apiVersion: 'apps/v1',
        kind: 'Deployment',
        metadata: { name: 'd', namespace: 'n' },
        spec: { replicas: 3, selector: { matchLabels: { app: 'd' } }, template: template('d', image), ...spec },
      },
      { fieldManager: 'test' },
    )

  test('roll to a new template without going below what must be available', async () => {
    apply('i:1')
    await cluster.settle()
    expect(images()).toStrictEqual(['i:1', 'i:1', 'i:1'])
    let least = 3
    const stop = cluster.store.watch(resources.pods, {}, () => {
      least = Math.min(least, cluster.pods().filter((p) => !p.metadata.deletionTimestamp && p.status?.phase === 'Running').length)
    })
    apply('i:2')
    await cluster.settle()
    stop()
    expect(images()).toStrictEqual(['i:2', 'i:2', 'i:2'])
    expect(least).toBe(3)
    expect(cluster.get(resources.deployments, 'd').status).toMatchObject({
      replicas: 3,
      updatedReplicas: 3,
      availableReplicas: 3,
      observedGeneration: 2,
    })
    const sets = cluster.store.list(resources.replicasets)
    expect(sets.map((set) => [set.spec.replicas, set.metadata.annotations!['deployment.kubernetes.io/revision']]).sort()).toStrictEqual([
      [0, '1'],
      [3, '2'],
    ])
  })

  test('a template that never becomes ready stops after the surge; the old pods stay', async () => {
    apply('i:1')
    await cluster.settle()
    cluster.becomesReady = () => false
    apply('i:2')
    await cluster.settle()
    expect(images().sort()).toStrictEqual(['i:1', 'i:1', 'i:1', 'i:2'])
    expect(cluster.get(resources.deployments, 'd').status!.conditions).toMatchObject([
      { type: 'Available', status: 'True' },
      { reason: 'ReplicaSetUpdated' },
    ])
    apply('i:1')
    await cluster.settle()
    expect(images()).toStrictEqual(['i:1', 'i:1', 'i:1'])
  })

  test('Recreate: none of the new before all of the old are gone', async () => {
    apply('i:1', { strategy: { type: 'Recreate' } })
    await cluster.settle()
    let mixed = false
    const stop = cluster.store.watch(resources.pods, {}, () => {
      mixed ||=
        new Set(
          cluster
            .pods()
            .filter((p) => !p.metadata.deletionTimestamp)
            .map((p) => p.spec.containers[0]!.image),
        ).size > 1
    })
    apply('i:2', { strategy: { type: 'Recreate' } })
    await cluster.settle()
    stop()
    expect([images(), mixed]).toStrictEqual([['i:2', 'i:2', 'i:2'], false])
  })

  test('scale, and spread over the nodes', async () => {
    apply('i:1', { replicas: 4 })
    await cluster.settle()
    expect(on(cluster.pods())).toStrictEqual(['node1', 'node1', 'node2', 'node2'])
    apply('i:1', { replicas: 1 })
    await cluster.settle()
    expect(cluster.pods()).toHaveLength(1)
  })
})

describe('scheduling', () => {
  test('a pod that fits nowhere says why, and starts when a node comes', async () => {
    const spec = { ...template('x').spec, nodeSelector: { pool: 'x' } }
    cluster.store.create(resources.pods, { metadata: { name: 'p', namespace: 'n' }, spec })
    await cluster.settle()
    expect(cluster.get(resources.pods, 'p').status!.conditions).toMatchObject([
      {
        type: 'PodScheduled',
        status: 'False',
        reason: 'Unschedulable',
        message: expect.stringContaining('0/2 nodes are available: 2 node(s)'),
      },
    ])
    cluster.addNode('node3', { pool: 'x' })
    await cluster.settle()
    expect(cluster.get(resources.pods, 'p').spec.nodeName).toBe('node3')
  })
})
