import type { Client, ClientDuplexStream } from '@grpc/grpc-js'
import { deltaAggregatedResources } from '../../lib/xds/grpc.ts'
import { type DeltaDiscoveryRequestInit, type DeltaDiscoveryResponse, typeUrls } from '../../lib/xds/messages.ts'
import { connectTimeout } from '../config.ts'
import type { Log } from '../log.ts'
import type { MeshState } from '../state/store.ts'
import { Backoff } from './backoff.ts'
import { openClient, requestMetadata } from './connection.ts'
import { type NodeDescription, xdsNode } from './node.ts'
import { Received, type Taken } from './received.ts'
import type { ControlPlaneServer } from './settings.ts'

const firstDelay = 10
const longestDelay = 15_000
/** A stream that stood so long, milliseconds, was a good one: the next is asked for without much ado. */
const goodAfter = 1_000
/** More names than these are only counted. */
const mostNames = 50
/** Status codes of gRPC. */
const OK = 0
const INVALID_ARGUMENT = 3

type Stream = ClientDuplexStream<DeltaDiscoveryRequestInit, DeltaDiscoveryResponse>

/** What happened on the wire, for the metrics. */
export interface XdsEvents {
  /** @param reason as upstream's label: `ConnectionError`, `Error`, `Complete` */
  terminated(reason: 'ConnectionError' | 'Error' | 'Complete'): void
  message(typeUrl: string, bytes: number): void
}

export interface XdsClientOptions {
  readonly server: ControlPlaneServer
  readonly tokenPath: string
  readonly node: NodeDescription
  readonly state: MeshState
  readonly log: Log
  readonly events: XdsEvents
}

/**
 * Keeps `state` as the control plane has it, by delta xDS with a wildcard subscription to each type (fact sheet: in-pod mode, 5.1 and 5.2). While the control plane is
 * away the state stays as it was; after 10 ms, doubling to 15 s, it is asked again, and told what is known, so that it can say what has gone meanwhile.
 */
export class XdsClient {
  readonly #options: XdsClientOptions
  readonly #received = [typeUrls.address, typeUrls.authorization].map((url) => new Received(url))
  readonly #backoff = new Backoff(firstDelay, longestDelay)
  readonly #pending = new Set<string>(this.#received.map((r) => r.typeUrl))
  readonly #ready = Promise.withResolvers<void>()
  /** Resolves when a response of each type was used and acknowledged. */
  readonly ready = this.#ready.promise
  #timer: NodeJS.Timeout | undefined
  #client: Client | undefined
  #stream: Stream | undefined
  #closed = false

  constructor(options: XdsClientOptions) {
    this.#options = options
  }

  start(): void {
    void this.#connect()
  }

  close(): void {
    this.#closed = true
    clearTimeout(this.#timer)
    this.#stream?.cancel()
    this.#client?.close()
  }

  async #connect(): Promise<void> {
    const { server, tokenPath, node, log } = this.#options
    try {
      const client = await openClient(server)
      this.#client = client
      if (this.#closed) return client.close()
      const metadata = await requestMetadata(server, tokenPath, node.clusterId)
      if (this.#closed) return
      log('debug', scope, 'connecting', { host: server.host, port: server.port })
      const { path, requestSerialize, responseDeserialize } = deltaAggregatedResources
      const deserialize = (bytes: Buffer) => this.#measured(bytes, responseDeserialize(bytes))
      this.#run(client, client.makeBidiStreamRequest(path, requestSerialize, deserialize, metadata))
    } catch (error) {
      this.#again((error as Error).message, 'ConnectionError')
    }
  }

  #run(client: Client, stream: Stream): void {
    this.#stream = stream
    let heardAt: number | undefined
    let failure: string | undefined
    // A connection that nobody answers would be waited for as long as the kernel tries.
    client.waitForReady(Date.now() + connectTimeout, (error) => {
      if (!error || heardAt !== undefined) return
      failure ??= `no connection within ${connectTimeout} ms`
      stream.cancel()
    })
    stream.on('data', (response: DeltaDiscoveryResponse) => {
      if (this.#closed) return
      heardAt ??= performance.now()
      this.#handle(stream, response)
    })
    // The status tells the same, and comes in any case.
    stream.on('error', () => {})
    stream.on('status', ({ code, details }) => {
      client.close()
      if (heardAt !== undefined && performance.now() - heardAt > goodAfter) this.#backoff.reset()
      if (code === OK) this.#again('the server ended the stream', 'Complete')
      else this.#again(failure ?? `status ${code}: ${details}`, heardAt === undefined ? 'ConnectionError' : 'Error')
    })
    for (const received of this.#received)
      stream.write({ node: xdsNode(this.#options.node), typeUrl: received.typeUrl, initialResourceVersions: received.versions() })
  }

  #handle(stream: Stream, response: DeltaDiscoveryResponse): void {
    const { typeUrl, nonce } = response
    const { log, state } = this.#options
    const received = this.#received.find((r) => r.typeUrl === typeUrl)
    if (!received) {
      log('warn', scope, 'response of a type that was not asked for', { type_url: typeUrl })
      stream.write({ typeUrl, responseNonce: nonce, errorDetail: { code: INVALID_ARGUMENT, message: `unknown type ${typeUrl}` } })
      return
    }
    const taken = received.take(response)
    state.apply(taken.changes)
    this.#tell(response, taken)
    if (taken.bad.length === 0) {
      stream.write({ typeUrl, responseNonce: nonce })
      if (this.#pending.delete(typeUrl) && this.#pending.size === 0) this.#ready.resolve()
      return
    }
    const message = taken.bad.map(({ name, reason }) => `${name}: ${reason}`).join('; ')
    log('error', scope, 'resources not usable, keeping what was known of them', { type_url: typeUrl, error: message })
    stream.write({ typeUrl, responseNonce: nonce, errorDetail: { code: INVALID_ARGUMENT, message } })
  }

  #tell({ typeUrl, resources }: DeltaDiscoveryResponse, { put, removed }: Taken): void {
    this.#options.log('info', scope, 'received response', {
      type_url: typeUrl,
      size: resources.length,
      removes: removed.length,
      put: names(put),
      removed: names(removed),
    })
  }

  #measured(bytes: Buffer, response: DeltaDiscoveryResponse): DeltaDiscoveryResponse {
    this.#options.events.message(response.typeUrl, bytes.length)
    return response
  }

  #again(why: string, reason: 'ConnectionError' | 'Error' | 'Complete'): void {
    if (this.#closed) return
    this.#options.events.terminated(reason)
    const delay = this.#backoff.next()
    const level = reason === 'Complete' ? 'info' : 'warn'
    this.#options.log(level, scope, 'stream to the control plane ended, connecting again', { error: why, delay: `${delay}ms` })
    this.#timer = setTimeout(() => void this.#connect(), delay)
  }
}

const scope = 'xds'
const names = (list: readonly string[]) => (list.length > mostNames ? `${list.length} names` : list.join(','))
