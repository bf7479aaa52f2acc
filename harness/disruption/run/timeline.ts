import { appendFileSync } from 'node:fs'
import { join } from 'node:path'
import { ApiClient, accessOf, type WatchEvent } from '../../../clusters/api-client.ts'
import type { Pod } from '../../../clusters/kubernetes.ts'

const redirection = 'ambient.istio.io/redirection'

/** A line of `timeline.jsonl`, without its time. */
export interface TimelineLine {
  readonly node: string
  readonly netns: string
  readonly what: string
  readonly detail?: string
}

/** What is followed of a pod: a line is written when one of these changes. */
interface State {
  readonly enrolled: boolean
  readonly ready: boolean
  readonly deleting: boolean
}

/** Writes down what happens to pods as the API tells it, and what the harness does, each as it happens. */
export class Timeline implements Disposable {
  readonly #file: string
  readonly #api: ApiClient
  readonly #ending = new AbortController()
  readonly #pods = new Map<string, State>()
  readonly #waiting = new Set<() => void>()
  readonly #lines: TimelineLine[] = []
  #failed: Error | undefined

  /** @param bundle the bundle's directory */
  constructor(bundle: string, kubeconfig: string) {
    this.#file = join(bundle, 'timeline.jsonl')
    this.#api = new ApiClient(accessOf(kubeconfig))
  }

  /** Writes what there is in these namespaces, and follows them from there. */
  async start(namespaces: readonly string[]): Promise<void> {
    const lists = await Promise.all(
      namespaces.map(async (namespace) => {
        const collection = `/api/v1/namespaces/${namespace}/pods`
        const { items, resourceVersion } = await this.#api.list(collection)
        for (const pod of items as Pod[]) this.#changed(pod)
        return `${collection}?watch=1&resourceVersion=${resourceVersion}&allowWatchBookmarks=true`
      }),
    )
    // A watch that breaks off leaves a gap that nobody could see later: it is the end.
    void Promise.all(lists.map((path) => this.#follow(path))).catch((error: Error) => {
      if (this.#ending.signal.aborted) return
      this.#failed = new Error(`the watch of pods ended: ${error.message}`)
      for (const wake of this.#waiting) wake()
    })
  }

  async #follow(path: string): Promise<void> {
    for await (const { type, object } of this.#api.watch(path, this.#ending.signal)) this.#event(type, object as Pod)
    if (!this.#ending.signal.aborted) throw new Error('closed by the API server')
  }

  #event(type: WatchEvent['type'], pod: Pod): void {
    if (type === 'ERROR') throw new Error(JSON.stringify(pod))
    if (type === 'BOOKMARK') return
    this.#changed(pod)
    if (type !== 'DELETED') return
    if (this.#pods.get(pod.metadata.uid ?? '')?.enrolled) this.#pod(pod, 'left')
    this.#pods.delete(pod.metadata.uid ?? '')
    this.#pod(pod, 'gone')
  }

  #changed(pod: Pod): void {
    const uid = pod.metadata.uid ?? ''
    const before = this.#pods.get(uid)
    const now: State = {
      enrolled: pod.metadata.annotations?.[redirection] === 'enabled',
      ready: pod.status?.conditions?.some((c) => c.type === 'Ready' && c.status === 'True') ?? false,
      deleting: pod.metadata.deletionTimestamp !== undefined,
    }
    this.#pods.set(uid, now)
    if (now.enrolled !== (before?.enrolled ?? false)) this.#pod(pod, now.enrolled ? 'enrolled' : 'left')
    if (now.ready !== (before?.ready ?? false)) this.#pod(pod, now.ready ? 'ready' : 'unready')
    if (now.deleting && !before?.deleting) this.#pod(pod, 'deleting')
  }

  #pod(pod: Pod, what: string): void {
    const owners = (pod.metadata.ownerReferences ?? []) as { name: string }[]
    const [owner] = owners
    this.write({
      node: pod.spec.nodeName ?? '',
      netns: `${pod.metadata.namespace}.${pod.metadata.name}`,
      what,
      ...(owner ? { detail: owner.name } : {}),
    })
  }

  /** Writes something that the harness did. */
  note(what: string, detail: string): void {
    this.write({ node: '', netns: '', what, detail })
  }

  private write(line: TimelineLine): void {
    const t = (performance.timeOrigin + performance.now()) * 1000
    appendFileSync(this.#file, `${JSON.stringify({ t, ...line })}\n`)
    this.#lines.push(line)
    for (const wake of this.#waiting) wake()
  }

  /** How many lines there are by now: where `until` starts to look. */
  get position(): number {
    return this.#lines.length
  }

  /** Waits for a line written since `from`. @throws Error naming what did not happen, after `timeoutMs`; when the watch has ended */
  async until(what: string, test: (line: TimelineLine) => boolean, from: number, timeoutMs: number): Promise<void> {
    const deadline = performance.now() + timeoutMs
    for (;;) {
      if (this.#failed) throw this.#failed
      if (this.#lines.slice(from).some(test)) return
      const left = deadline - performance.now()
      if (left <= 0) throw new Error(`${what}: not within ${timeoutMs / 1000} s`)
      const { promise, resolve } = Promise.withResolvers<void>()
      this.#waiting.add(resolve)
      const timer = setTimeout(resolve, left)
      await promise
      clearTimeout(timer)
      this.#waiting.delete(resolve)
    }
  }

  /** Whether a pod is annotated enrolled now. */
  isEnrolled(uid: string): boolean {
    return this.#pods.get(uid)?.enrolled ?? false
  }

  [Symbol.dispose](): void {
    this.#ending.abort()
    this.#api.close()
  }
}
