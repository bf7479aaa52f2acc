import { setTimeout as delay } from 'node:timers/promises'
import type { ApiError, KubeClient } from '../kubernetes/client.ts'
import type { KubeObject, Namespace } from '../kubernetes/objects.ts'
import type { Log } from '../log.ts'

export const rootConfigMap = 'istio-ca-root-cert'
export const rootKey = 'root-cert.pem'

export interface ConfigMap extends KubeObject {
  data?: Record<string, string>
}

const pauseMs = 1000

/** Keeps the mesh's root certificate in a ConfigMap of every namespace, whoever changes or deletes it. */
export class RootConfigMaps {
  readonly #client: KubeClient
  readonly #log: Log
  readonly #namespaces = new Set<string>()
  /** Namespace → the root that its ConfigMap holds; undefined: the ConfigMap is there without one. */
  readonly #held = new Map<string, string | undefined>()
  readonly #working = new Set<string>()
  /** Namespaces of which something was heard while they were worked on. */
  readonly #again = new Set<string>()
  #rootPem: string | undefined

  constructor(client: KubeClient, log: Log) {
    this.#client = client
    this.#log = log
  }

  /** From now on this is the root, in all namespaces. */
  setRoot(pem: string): void {
    this.#rootPem = pem
    for (const namespace of this.#namespaces) this.#mend(namespace)
  }

  readonly namespaces = {
    put: ({ metadata: { name, deletionTimestamp } }: Namespace) => {
      if (deletionTimestamp) this.#namespaces.delete(name)
      else {
        this.#namespaces.add(name)
        this.#mend(name)
      }
    },
    remove: ({ metadata: { name } }: KubeObject) => {
      this.#namespaces.delete(name)
      this.#held.delete(name)
    },
  }

  /** Of the ConfigMaps that have our name. */
  readonly configMaps = {
    put: ({ metadata: { namespace = '' }, data }: ConfigMap) => {
      this.#held.set(namespace, data?.[rootKey])
      this.#mend(namespace)
    },
    remove: ({ metadata: { namespace = '' } }: KubeObject) => {
      this.#held.delete(namespace)
      this.#mend(namespace)
    },
  }

  #mend(namespace: string): void {
    if (!this.#isWrong(namespace)) return
    if (this.#working.has(namespace)) {
      this.#again.add(namespace)
      return
    }
    this.#working.add(namespace)
    void this.#work(namespace).then((done) => {
      this.#working.delete(namespace)
      // What was written shows as an event; only if another came meanwhile, or it failed, is it looked at again.
      if (this.#again.delete(namespace) || !done) this.#mend(namespace)
    })
  }

  #isWrong(namespace: string): boolean {
    return this.#rootPem !== undefined && this.#namespaces.has(namespace) && this.#held.get(namespace) !== this.#rootPem
  }

  async #work(namespace: string): Promise<boolean> {
    try {
      await this.#write(namespace, this.#rootPem as string)
      return true
    } catch (error) {
      const { code } = error as Partial<ApiError>
      // Made or taken away meanwhile.
      if (code === 409) this.#held.set(namespace, undefined)
      else if (code === 404) this.#held.delete(namespace)
      else this.#log.warn('the root certificate could not be published', { namespace, error: (error as Error).message })
      await delay(pauseMs, undefined, { ref: false })
      return false
    }
  }

  async #write(namespace: string, root: string): Promise<void> {
    const path = `/api/v1/namespaces/${namespace}/configmaps`
    const metadata = { name: rootConfigMap, namespace, labels: { 'istio.io/config': 'true' } }
    const body = { apiVersion: 'v1', kind: 'ConfigMap', metadata, data: { [rootKey]: root } }
    if (this.#held.has(namespace)) await this.#client.json('PATCH', `${path}/${rootConfigMap}`, body, 'application/merge-patch+json')
    else await this.#client.json('POST', path, body)
  }
}
