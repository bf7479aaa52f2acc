import { ApiException, KubeConfig, KubernetesObjectApi, PatchStrategy } from '@kubernetes/client-node'
import type { KubernetesObject } from './kubernetes.ts'

const FIELD_MANAGER = 'everyhop'

/** An object that the API would not take: which, and what the API said. */
export class ApplyError extends Error {
  override name = 'ApplyError'
}

/** Applies and deletes objects of any kind through a kubeconfig. */
export class ObjectClient {
  readonly #api: KubernetesObjectApi

  constructor(kubeconfig: string) {
    const config = new KubeConfig()
    config.loadFromFile(kubeconfig)
    this.#api = KubernetesObjectApi.makeApiClient(config)
  }

  /** Server-side apply, one after the other: later objects may need earlier ones. Throws ApplyError. */
  async apply(objects: readonly KubernetesObject[]): Promise<void> {
    for (const object of objects) {
      try {
        await this.#api.patch(object, undefined, undefined, FIELD_MANAGER, true, PatchStrategy.ServerSideApply)
      } catch (error) {
        throw new ApplyError(`apply ${nameOf(object)}: ${reasonOf(error)}`, { cause: error })
      }
    }
  }

  /** Asks for deletion; objects that are not there are fine. Throws ApplyError. */
  async delete(objects: readonly KubernetesObject[]): Promise<void> {
    for (const object of objects) {
      try {
        await this.#api.delete(object)
      } catch (error) {
        if (!(error instanceof ApiException && error.code === 404))
          throw new ApplyError(`delete ${nameOf(object)}: ${reasonOf(error)}`, { cause: error })
      }
    }
  }
}

const nameOf = ({ kind, metadata }: KubernetesObject) => `${kind} ${metadata.namespace ? `${metadata.namespace}/` : ''}${metadata.name}`

function reasonOf(error: unknown): string {
  if (!(error instanceof ApiException)) return (error as Error).message
  const { message } = JSON.parse(String(error.body)) as { message?: string }
  return message ?? `status ${error.code}`
}
