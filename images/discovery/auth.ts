import type { Metadata } from '@grpc/grpc-js'
import type { KubeClient } from './kubernetes/client.ts'

/** Who calls, by the service account's token that the call came with. */
export interface Caller {
  readonly namespace: string
  readonly serviceAccount: string
  /** The pod that the token is bound to; absent for a token of no pod. */
  readonly pod?: { readonly name: string; readonly uid: string } | undefined
}

/** A caller that is not who it should be: for the log, not for the caller. */
export class AuthenticationError extends Error {
  override name = 'AuthenticationError'
}

interface TokenReviewStatus {
  readonly authenticated?: boolean
  readonly error?: string
  readonly audiences?: readonly string[]
  readonly user?: {
    readonly username?: string
    readonly groups?: readonly string[]
    readonly extra?: Readonly<Record<string, readonly string[]>>
  }
}

const podName = 'authentication.kubernetes.io/pod-name'
const podUid = 'authentication.kubernetes.io/pod-uid'

/**
 * Asks the API server whose token a call carries (`authorization: Bearer …`).
 * @param audience that the token must be for
 */
export class Authenticator {
  readonly #client: KubeClient
  readonly #audience: string
  readonly #clusterId: string

  constructor(client: KubeClient, options: { readonly audience: string; readonly clusterId: string }) {
    this.#client = client
    this.#audience = options.audience
    this.#clusterId = options.clusterId
  }

  /** @throws AuthenticationError */
  async authenticate(metadata: Metadata): Promise<Caller> {
    const [header] = metadata.get('authorization')
    const token = /^Bearer +(\S+)$/i.exec(String(header ?? ''))?.[1]
    if (!token) throw new AuthenticationError('the call carries no bearer token')
    const [cluster] = metadata.get('clusterid')
    if (cluster !== undefined && cluster !== this.#clusterId)
      throw new AuthenticationError(
        `the caller says that it is of cluster ${JSON.stringify(String(cluster))}: this one is ${this.#clusterId}`,
      )
    return this.#review(token)
  }

  async #review(token: string): Promise<Caller> {
    const review = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenReview', spec: { token, audiences: [this.#audience] } }
    let status: TokenReviewStatus | undefined
    try {
      const path = '/apis/authentication.k8s.io/v1/tokenreviews'
      status = (await this.#client.json<{ status?: TokenReviewStatus }>('POST', path, review)).status
    } catch (error) {
      throw new AuthenticationError(`the API server did not review the token: ${(error as Error).message}`, { cause: error })
    }
    if (status?.authenticated !== true) throw new AuthenticationError(`the token is not good: ${status?.error ?? 'the API server says so'}`)
    // A server that does not know audiences names none: it did not check them.
    if (!status.audiences?.includes(this.#audience)) throw new AuthenticationError(`the token is not for ${this.#audience}`)
    const { username = '', groups = [], extra = {} } = status.user ?? {}
    const account = /^system:serviceaccount:([^:]+):([^:]+)$/.exec(username)
    if (!account || !groups.includes('system:serviceaccounts'))
      throw new AuthenticationError(`the token is of ${JSON.stringify(username)}, no service account`)
    const [name, uid] = [extra[podName]?.[0], extra[podUid]?.[0]]
    return { namespace: account[1]!, serviceAccount: account[2]!, pod: name && uid ? { name, uid } : undefined }
  }
}
