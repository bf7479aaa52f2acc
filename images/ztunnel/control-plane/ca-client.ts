import type { Client, ServiceError } from '@grpc/grpc-js'
import type { Leaf } from '../../lib/ca.ts'
import { formatIdentity, type Identity } from '../../lib/identity.ts'
import { createCertificate } from '../../lib/xds/grpc.ts'
import type { IstioCertificateResponse } from '../../lib/xds/messages.ts'
import { openClient, requestMetadata } from './connection.ts'
import { certificateRequest } from './csr.ts'
import { checkedLeaf } from './issued.ts'
import type { ControlPlaneServer } from './settings.ts'

/** For one certificate, milliseconds. */
const timeout = 10_000
/** Status codes of gRPC. */
const DEADLINE_EXCEEDED = 4
const UNAVAILABLE = 14

export interface CaClientOptions {
  readonly server: ControlPlaneServer
  readonly tokenPath: string
  readonly clusterId: string
  /** Asked life of a certificate, milliseconds. */
  readonly ttl: number
}

/** Has certificates signed by a CA server (`istio.v1.auth.IstioCertificateService`; fact sheet: in-pod mode, 5.5). One connection serves until a request on it fails. */
export class CaClient {
  readonly #options: CaClientOptions
  #client: Promise<Client> | undefined

  constructor(options: CaClientOptions) {
    this.#options = options
  }

  /** A fresh key, certified. @throws Error with the server's status, or what is wrong with its answer */
  readonly issue = async (identity: Identity): Promise<Leaf> => {
    const { server, tokenPath, clusterId, ttl } = this.#options
    const { csrPem, keyPem } = await certificateRequest(identity)
    this.#client ??= openClient(server)
    const opening = this.#client
    try {
      const [client, metadata] = await Promise.all([opening, requestMetadata(server, tokenPath, clusterId)])
      const request = {
        csr: csrPem,
        validityDuration: Math.round(ttl / 1000),
        metadata: { ImpersonatedIdentity: formatIdentity(identity) },
      }
      const { path, requestSerialize, responseDeserialize } = createCertificate
      const response = await new Promise<IstioCertificateResponse>((resolve, reject) =>
        client.makeUnaryRequest(
          path,
          requestSerialize,
          responseDeserialize,
          request,
          metadata,
          { deadline: Date.now() + timeout },
          (error: ServiceError | null, answer) => (answer ? resolve(answer) : reject(error ?? new Error('the CA answered nothing'))),
        ),
      )
      return checkedLeaf(identity, keyPem, response.certChain)
    } catch (error) {
      const { code } = error as Partial<ServiceError>
      if (this.#client === opening && (code === UNAVAILABLE || code === DEADLINE_EXCEEDED || (await failed(opening)))) this.close()
      throw error
    }
  }

  /** The next request connects anew: perhaps to another server, perhaps with new roots. */
  close(): void {
    void this.#client?.then(
      (client) => client.close(),
      () => {},
    )
    this.#client = undefined
  }
}

const failed = (opening: Promise<unknown>) =>
  opening.then(
    () => false,
    () => true,
  )
