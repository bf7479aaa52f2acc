import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ApiClient } from './api-client.ts'
import type { Pod } from './kubernetes.ts'
import { type ApiServer, createApiServer } from './lab/apiserver/server.ts'
import { resources } from './lab/apiserver/store.ts'
import { fatalReason, podTrouble, workloadTrouble } from './pod-trouble.ts'

// Statuses and events as kubelet, scheduler and controllers of Kubernetes 1.34 write them.
const waiting = (reason: string, message: string, more: object = {}) => ({
  phase: 'Pending',
  containerStatuses: [{ name: 'c', ready: false, restartCount: 0, state: { waiting: { reason, message } }, ...more }],
})
const crashed = (restartCount: number, terminated: object) =>
  waiting('CrashLoopBackOff', 'back-off 40s restarting failed container=c pod=p_demo(uid)', { restartCount, lastState: { terminated } })
const unschedulable = {
  phase: 'Pending',
  conditions: [
    {
      type: 'PodScheduled',
      status: 'False',
      reason: 'Unschedulable',
      message: "0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector. preemption: 0/3 nodes are available.",
    },
  ],
}

let server: ApiServer
let api: ApiClient
beforeAll(async () => {
  server = await createApiServer({
    listeners: [{ host: '127.0.0.1', port: 0 }],
    podLog: () => '2026-01-02T03:04:05.000000006Z stdout F its last words\n',
  })
  api = new ApiClient({ server: `https://127.0.0.1:${server.ports[0]}`, ca: server.caPem, token: server.adminToken })
  server.store.create(resources.namespaces, { metadata: { name: 'demo' } })
  server.store.create(resources.serviceaccounts, { metadata: { name: 'default', namespace: 'demo' } })
})
afterAll(async () => {
  api?.close()
  await server?.close()
})

let count = 0
function pod(status: object, events: { reason: string; message: string; at?: string; type?: string }[] = []): Pod {
  const name = `p${++count}`
  const spec = { containers: [{ name: 'c', image: 'i' }], ...('conditions' in status ? {} : { nodeName: 'one' }) }
  const { metadata } = server.store.create(resources.pods, { metadata: { name, namespace: 'demo' }, spec } as never)
  for (const [i, { reason, message, at, type = 'Warning' }] of events.entries())
    server.store.create(resources.events, {
      metadata: { name: `${name}.${i}`, namespace: 'demo' },
      ...{ type, reason, message, lastTimestamp: at ?? '2026-01-01T00:00:00Z' },
      involvedObject: { kind: 'Pod', name, namespace: 'demo', uid: metadata.uid! },
    } as never)
  return server.store.patch(resources.pods, { name, namespace: 'demo' }, { status } as never, { subresource: 'status' }) as unknown as Pod
}

describe('waiting is vain', () => {
  test.each([
    [
      'an image that is not there',
      waiting('ImagePullBackOff', 'Back-off pulling image "no:1"'),
      /ImagePullBackOff: Back-off pulling image "no:1"$/,
    ],
    [
      'an image that must be there',
      waiting('ErrImageNeverPull', 'Container image "no:1" is not present'),
      /ErrImageNeverPull: Container image/,
    ],
    [
      'a program that crashes again and again',
      crashed(3, { exitCode: 1, reason: 'Error' }),
      /container c crashed 3 times \(exit code 1\)$/,
    ],
    ['one that needs too much memory', crashed(4, { exitCode: 137, reason: 'OOMKilled' }), /crashed 4 times \(OOMKilled, exit code 137\)$/],
    [
      'a pod that was put out',
      { phase: 'Failed', reason: 'Evicted', message: 'The node was low on resource: memory.' },
      /failed: Evicted: The node was low/,
    ],
    [
      'a container before the others',
      { phase: 'Pending', initContainerStatuses: waiting('ImagePullBackOff', 'Back-off pulling image "first:1"').containerStatuses },
      /Back-off pulling image "first:1"$/,
    ],
  ])('for %s', (_, status, said) => expect(fatalReason(pod(status))).toMatch(said))

  test.each([
    ['a pull that failed once', waiting('ErrImagePull', 'dial tcp: i/o timeout')],
    ['a first crash', crashed(1, { exitCode: 1 })],
    ['a pod that no node takes yet', unschedulable],
    ['a pod that is being made', waiting('ContainerCreating', '')],
  ])('but not for %s', (_, status) => expect(fatalReason(pod(status))).toBeUndefined())
})

describe('what is told of a pod', () => {
  test('state, last words, warnings in their order, and the fix of the first cause', async () => {
    const text = await podTrouble(
      api,
      pod(crashed(4, { exitCode: 137, reason: 'OOMKilled' }), [
        { reason: 'BackOff', message: 'Back-off restarting failed container', at: '2026-01-01T00:00:09Z' },
        { reason: 'Unhealthy', message: 'Readiness probe failed: connection refused', at: '2026-01-01T00:00:03Z' },
        { reason: 'Pulled', message: 'already present', type: 'Normal' },
      ]),
    )
    expect(text.split('\n')).toEqual([
      `pod demo/p${count} on node one: Pending`,
      '  container c: CrashLoopBackOff: back-off 40s restarting failed container=c pod=p_demo(uid) (ended with exit code 137, OOMKilled), restarted 4 times',
      '    | its last words',
      '  event Warning Unhealthy: Readiness probe failed: connection refused',
      '  event Warning BackOff: Back-off restarting failed container',
      '  fix: it needs more memory than its limit: raise resources.limits.memory, or leave it out',
    ])
  })

  test('which node would not have it, and why', async () => {
    const text = await podTrouble(api, pod(unschedulable))
    expect(text).toContain(`on node (none): Pending\n  not scheduled: Unschedulable: 0/3 nodes are available: 3 node(s) didn't match`)
    expect(text).toMatch(/\n {2}fix: make room on the nodes/)
  })

  test('a volume without content', async () => {
    const message = 'MountVolume.SetUp failed for volume "istiod-ca-cert" : configmap "istio-ca-root-cert" not found'
    const text = await podTrouble(api, pod(waiting('ContainerCreating', ''), [{ reason: 'FailedMount', message }]))
    expect(text).toContain(`  event Warning FailedMount: ${message}\n  fix: the volume that the message names has no content yet`)
  })

  test('events of an earlier pod of the same name are not its own', async () => {
    const mine = pod(waiting('ContainerCreating', ''), [{ reason: 'FailedMount', message: 'of another' }])
    expect(await podTrouble(api, { ...mine, metadata: { ...mine.metadata, uid: 'new' } })).not.toContain('of another')
  })
})

test('pods that the cluster does not admit are told by the workload that wants them', async () => {
  const message = 'Error creating: pods "ztunnel-x" is forbidden: violates PodSecurity "restricted:latest": unrestricted capabilities'
  for (const [name, at] of [
    ['ztunnel.1', '2026-01-01T00:00:02Z'],
    ['ztunnel.2', '2026-01-01T00:00:01Z'],
  ] as const)
    server.store.create(resources.events, {
      metadata: { name, namespace: 'demo' },
      ...{
        type: 'Warning',
        reason: 'FailedCreate',
        message: name === 'ztunnel.1' ? message : 'before',
        lastTimestamp: at,
        involvedObject: { kind: 'DaemonSet', name: 'ztunnel', namespace: 'demo' },
      },
    } as never)
  expect(await workloadTrouble(api, 'demo')).toEqual([
    `DaemonSet ztunnel: Warning FailedCreate: ${message}\n  fix: the cluster does not admit the pod: the message names the policy or the quota`,
  ])
  expect(await workloadTrouble(api, 'default')).toEqual([])
})
