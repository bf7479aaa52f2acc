import { fstatSync, openSync } from 'node:fs'
import type { RedirectedPod, Redirection } from '../redirect/redirection.ts'
import { defaultSelectors, redirectionAnnotation } from '../shared/eligibility.ts'
import { memoryLog } from '../testing/namespace.ts'
import { Enroller } from './enroller.ts'
import type { Namespace } from './netns.ts'
import { type Pod, PodStore } from './pods.ts'

/** An enroller whose parts write down what they are asked to do. */
export class World {
  /** What was done, in order, as `verb uid detail`. */
  steps: string[] = []
  fail: (step: string) => boolean = () => false
  /** Whether pods have a process. */
  running = true
  /** Whether namespaces hold something of the redirection. */
  marked = false
  /** Whether what the proxy carries goes on after its pod has left. */
  lingers = false
  readonly pods = new PodStore()
  readonly log = memoryLog()
  readonly enroller: Enroller
  #waiting: (() => void)[] = []

  constructor() {
    const step = (text: string) => this.#step(text)
    const ips = (pod: Pick<RedirectedPod, 'ips'>) => pod.ips.join('+')
    const redirection: Redirection = {
      setupHost: () => step('setup'),
      teardownHost: () => step('teardown'),
      addPod: (pod) => step(`capture ${pod.uid}`),
      addRunningPod: (pod) => step(`capture ${pod.uid}`),
      podServed: (pod) => step(`served ${pod.uid} ${ips(pod)}`),
      stopCapture: (pod) => step(`uncapture ${pod.uid}`),
      endCapture: async () => this.lingers,
      removePod: (pod, alive) => step(`${alive ? 'free' : 'forget'} ${pod.uid}`),
      isMarked: async () => this.marked,
      reconcilePod: async (pod) => {
        await step(`verify ${pod.uid}`)
        return 'intact'
      },
      reconcileHost: (all, complete) => step(`host ${all.map((p) => p.uid).join('+')} ${complete}`),
    }
    this.enroller = new Enroller({
      pods: this.pods,
      redirection,
      proxies: { add: (w) => step(`add ${w.uid}`), remove: (uid) => step(`del ${uid}`) },
      findNamespace: async (uid) => {
        await step(`find ${uid}`)
        return this.running ? namespace() : undefined
      },
      openNamespace: () => namespace(),
      annotate: (pod, state) => step(`annotate ${pod.uid} ${state}`),
      leaving: { peersMs: 0, inFlightMs: 0, lingerMs },
      rules: { selectors: defaultSelectors, excludeNamespaces: ['kube-system'], systemNamespace: 'istio-system' },
      log: this.log,
    })
    this.pods.putNamespace('demo', { 'istio.io/dataplane-mode': 'ambient' })
  }

  #step(text: string): Promise<void> {
    this.steps.push(text)
    for (const look of [...this.#waiting]) look()
    return this.fail(text) ? Promise.reject(new Error(`no ${text}`)) : Promise.resolve()
  }

  /** Resolves when `text` has been done `times` times. */
  done(text: string, times = 1): Promise<void> {
    return new Promise((resolve) => {
      const look = () => {
        if (this.steps.filter((s) => s === text).length < times) return
        this.#waiting = this.#waiting.filter((w) => w !== look)
        resolve()
      }
      this.#waiting.push(look)
      look()
    })
  }
}

/** How long what the proxy carries may go on. */
export const lingerMs = 30_000

/** Everything that was started has ended. */
export const idle = async () => {
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve))
}

function namespace(): Namespace {
  const fd = openSync('/proc/self/ns/net', 'r')
  const { ino, dev } = fstatSync(fd, { bigint: true })
  return { fd, ino, dev }
}

export const pod = (more: Partial<Pod> = {}): Pod => ({
  uid: 'a',
  namespace: 'demo',
  name: 'web',
  serviceAccount: 'sa',
  labels: {},
  annotations: {},
  hostNetwork: false,
  deleting: false,
  terminal: false,
  ready: true,
  createdAt: '',
  env: {},
  ips: ['10.0.0.1'],
  ...more,
})

export const enabled = { [redirectionAnnotation]: 'enabled' }
