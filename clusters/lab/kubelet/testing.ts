import { randomUUID } from 'node:crypto'
import { EventEmitter, on } from 'node:events'
import type { KubernetesObject } from '../../kubernetes.ts'
import type { LabNode } from '../node/node.ts'
import { pinnedNode } from '../node/root.ts'
import type { ConfigMap, KubeletApi, Secret, TokenRequest } from './api.ts'
import { apiTime, type Container, type Pod, type PodStatus } from './pod.ts'
import type { ImageTable } from './start-container.ts'

/** The API server's part for tests of the kubelet: objects in maps, and everything that happens can be awaited. */
export class FakeApi implements KubeletApi {
  readonly caBundle = '-----BEGIN CERTIFICATE-----\ntest\n-----END CERTIFICATE-----\n'
  readonly pods = new Map<string, Pod>()
  readonly events: KubernetesObject[] = []
  readonly nodes: KubernetesObject[] = []
  readonly tokenRequests: TokenRequest[] = []
  /** Statuses of each pod in the order of their reports. */
  readonly statuses = new Map<string, PodStatus[]>()
  private readonly configs = new Map<string, ConfigMap & Secret>()
  private readonly changes = new EventEmitter().setMaxListeners(100)

  watchPods(node: string, set: (pod: Pod) => void, gone: (pod: Pod) => void): () => void {
    const mine = (pod: Pod) => pod.spec.nodeName === node
    const onSet = (pod: Pod) => mine(pod) && set(structuredClone(pod))
    const onGone = (pod: Pod) => mine(pod) && gone(pod)
    this.changes.on('set', onSet).on('gone', onGone)
    for (const pod of this.pods.values()) onSet(pod)
    return () => this.changes.off('set', onSet).off('gone', onGone)
  }

  watchConfig(changed: (kind: 'ConfigMap' | 'Secret', namespace: string, name: string) => void): () => void {
    this.changes.on('config', changed)
    return () => this.changes.off('config', changed)
  }

  configMap = (namespace: string, name: string) => this.configs.get(`ConfigMap ${namespace}/${name}`)
  secret = (namespace: string, name: string) => this.configs.get(`Secret ${namespace}/${name}`)

  setConfig(kind: 'ConfigMap' | 'Secret', namespace: string, name: string, data: Record<string, string>): void {
    this.configs.set(`${kind} ${namespace}/${name}`, { data })
    this.changes.emit('config', kind, namespace, name)
  }

  async patchPodStatus(pod: Pod, status: PodStatus): Promise<void> {
    const found = this.pods.get(pod.metadata.uid)
    if (!found) throw new Error('not found')
    found.status = { ...found.status, ...structuredClone(status) }
    this.statuses.set(pod.metadata.name, [...(this.statuses.get(pod.metadata.name) ?? []), structuredClone(status)])
    this.set(found)
  }

  async deletePod(pod: Pod): Promise<void> {
    if (this.pods.delete(pod.metadata.uid)) this.changes.emit('gone', pod)
    this.changes.emit('any')
  }

  async createEvent(event: KubernetesObject): Promise<void> {
    this.events.push(event)
    this.changes.emit('any')
  }

  async applyNode(node: KubernetesObject): Promise<void> {
    this.nodes.push(node)
  }

  async issueToken(request: TokenRequest): Promise<{ token: string; expirationSeconds: number }> {
    this.tokenRequests.push(request)
    return { token: `token-${request.audience ?? 'api'}-${this.tokenRequests.length}`, expirationSeconds: request.expirationSeconds }
  }

  set(pod: Pod): void {
    this.pods.set(pod.metadata.uid, pod)
    this.changes.emit('set', pod)
    this.changes.emit('any')
  }

  /** A graceful delete, as `kubectl delete` asks for it. */
  delete(name: string, graceSeconds?: number): void {
    const pod = this.get(name)
    const grace = graceSeconds ?? pod.spec.terminationGracePeriodSeconds ?? 30
    this.set({ ...pod, metadata: { ...pod.metadata, deletionTimestamp: apiTime(), deletionGracePeriodSeconds: grace } })
  }

  /** Takes the object away at once. */
  remove(name: string): void {
    const pod = this.get(name)
    this.pods.delete(pod.metadata.uid)
    this.changes.emit('gone', pod)
  }

  find(name: string): Pod | undefined {
    return [...this.pods.values()].find((pod) => pod.metadata.name === name)
  }

  get(name: string): Pod {
    const pod = this.find(name)
    if (!pod) throw new Error(`no pod ${name}`)
    return pod
  }

  reasons(name: string): string[] {
    return this.events.filter((event) => (event.involvedObject as { name: string }).name === name).map((event) => event.reason as string)
  }

  /** Resolves when `condition` holds; looks again whenever anything happens. */
  async until(what: string, condition: () => boolean | undefined, seconds = 15): Promise<void> {
    if (condition()) return
    try {
      for await (const _ of on(this.changes, 'any', { signal: AbortSignal.timeout(seconds * 1000) })) if (condition()) return
    } catch {
      const state = [...this.pods.values()].map((pod) => `${pod.metadata.name}: ${JSON.stringify(pod.status)}`)
      const events = this.events.slice(-10).map((event) => `${event.reason}: ${event.message}`)
      throw new Error(`${what} did not happen in ${seconds} s\n${[...state, ...events].join('\n')}`)
    }
  }

  ready(name: string): Promise<void> {
    return this.until(`${name} is ready`, () => isTrue(this.get(name), 'Ready'))
  }

  gone(name: string, seconds?: number): Promise<void> {
    return this.until(`${name} is gone`, () => this.find(name) === undefined, seconds)
  }
}

export function isTrue(pod: Pod, condition: string): boolean {
  return pod.status?.conditions?.some((c) => c.type === condition && c.status === 'True') ?? false
}

/** A small HTTP server that tells about itself, and ends 20 ms after SIGTERM. */
const server = `
process.on('SIGTERM', () => { console.log('ending'); setTimeout(() => process.exit(0), 20) })
let healthy = true
require('http').createServer((q, r) => {
  if (q.url === '/ill') healthy = false
  if (q.url === '/well') healthy = true
  r.writeHead(q.url === '/healthz' && !healthy ? 500 : 200, { peer: q.socket.remoteAddress })
  r.end(JSON.stringify({ peer: q.socket.remoteAddress, env: process.env, pid: process.pid, argv: process.argv.slice(2) }))
}).listen(8080, '0.0.0.0', () => console.log('listening'))
`

export const testImages: ImageTable = new Map([
  ['test/server', { argv: [pinnedNode, '-e', server] }],
  // A process 1 hears only the signals that it asks for.
  ['test/sleep', { argv: ['sh', '-c', 'trap "exit 0" TERM; sleep 1000 & wait'] }],
  ['test/sh', { argv: ['sh', '-c'] }],
])

export interface PodWish {
  readonly name: string
  readonly node: LabNode
  readonly spec?: Partial<Pod['spec']>
  readonly container?: Partial<Container>
  readonly metadata?: Partial<Pod['metadata']>
}

/** A pod of one container, `main`, which is a `test/sleep` unless said otherwise. */
export function testPod({ name, node, spec, container, metadata }: PodWish): Pod {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'demo', uid: randomUUID(), labels: { app: name }, ...metadata },
    spec: {
      nodeName: node.name,
      serviceAccountName: 'tester',
      terminationGracePeriodSeconds: 1,
      containers: [{ name: 'main', image: 'test/sleep', ...container }],
      ...spec,
    },
  }
}
