import { type ServerDuplexStream, status } from '@grpc/grpc-js'
import { type DeltaDiscoveryRequest, type DeltaDiscoveryResponseInit, typeUrls } from '../../lib/xds/messages.ts'
import type { Log } from '../log.ts'
import type { Metrics } from '../metrics.ts'
import type { Conversion } from '../resources/conversion.ts'
import type { Change } from '../resources/resource-set.ts'
import { type Delta, Watch } from './watch.ts'

type Stream = ServerDuplexStream<DeltaDiscoveryRequest, DeltaDiscoveryResponseInit>
type TypeUrl = (typeof typeUrls)[keyof typeof typeUrls]

/** Istio's short names of the types, for metrics and logs. */
const shortNames: Record<TypeUrl, string> = { [typeUrls.address]: 'WDS', [typeUrls.authorization]: 'WADS' }

/** Who may open a stream. @throws Error with what is logged, not told */
export type Authenticate = (metadata: Stream['metadata']) => Promise<{ readonly namespace: string }>

export interface DiscoveryOptions {
  readonly conversion: Conversion
  readonly authenticate: Authenticate
  readonly log: Log
  readonly metrics: Metrics
}

/** Delta ADS: every connected client hears of every change that concerns it. */
export class DiscoveryService {
  readonly #o: DiscoveryOptions
  readonly #connections = new Set<Connection>()
  #connectionCount = 0

  constructor(options: DiscoveryOptions) {
    this.#o = options
    options.metrics.gauge('pilot_xds', {}, () => this.#connections.size)
  }

  /** The method's handler. */
  readonly stream = (call: Stream): void => {
    const connection = new Connection(call, this.#o, ++this.#connectionCount)
    this.#connections.add(connection)
    connection.run().finally(() => this.#connections.delete(connection))
  }

  /** Tells all clients. Policies go first, and leave last: no workload ever names one that its client does not have. */
  push(changes: { readonly address: Change; readonly authorization: Change }): void {
    const { address, authorization } = changes
    for (const connection of this.#connections) {
      connection.note(typeUrls.authorization, { changed: authorization.changed, removed: [] })
      connection.note(typeUrls.address, address)
      connection.note(typeUrls.authorization, { changed: [], removed: authorization.removed })
    }
  }

  /** Ends all streams, so that clients go elsewhere. */
  close(): void {
    for (const connection of this.#connections) connection.end(status.UNAVAILABLE, 'the control plane is stopping')
  }
}

class Connection {
  readonly #call: Stream
  readonly #o: DiscoveryOptions
  readonly #watches: ReadonlyMap<string, Watch>
  #client: string
  #authenticated = false
  #blocked = false
  #ended = false
  #nonces = 0

  constructor(call: Stream, options: DiscoveryOptions, number: number) {
    this.#call = call
    this.#o = options
    this.#client = `${call.getPeer()} (${number})`
    const { addresses, authorizations } = options.conversion
    this.#watches = new Map([
      [typeUrls.authorization, new Watch(authorizations)],
      [typeUrls.address, new Watch(addresses)],
    ])
  }

  async run(): Promise<void> {
    const call = this.#call
    const { promise: closed, resolve: close } = Promise.withResolvers<void>()
    for (const gone of ['cancelled', 'close', 'error'] as const) call.on(gone, close)
    call.on('drain', () => {
      this.#blocked = false
      this.#flush()
    })
    try {
      const { namespace } = await this.#o.authenticate(call.metadata)
      this.#authenticated = true
      // Only now: until then the client's requests wait in the transport, which bounds them.
      call.on('data', (request: DeltaDiscoveryRequest) => this.#receive(request, namespace))
      call.on('end', () => this.end(status.OK, ''))
    } catch (error) {
      this.#o.log.warn('a client was refused', { client: this.#client, reason: (error as Error).message })
      this.#o.metrics.count('pilot_xds_auth_failures', {})
      this.end(status.UNAUTHENTICATED, 'authentication failure')
    }
    await closed
    this.#ended = true
    if (this.#authenticated) this.#o.log.info('a client left', { client: this.#client })
  }

  note(typeUrl: TypeUrl, change: Change): void {
    this.#watches.get(typeUrl)?.note(change)
    this.#flush()
  }

  end(code: status, details: string): void {
    if (this.#ended) return
    this.#ended = true
    if (code === status.OK) this.#call.end()
    else this.#call.emit('error', { code, details })
  }

  #receive(request: DeltaDiscoveryRequest, namespace: string): void {
    if (this.#ended) return
    const { typeUrl, node, errorDetail, responseNonce } = request
    if (node?.id) {
      const [, , pod = node.id] = node.id.split('~')
      if (!pod.endsWith(`.${namespace}`)) {
        this.#o.log.warn('a client says that it is of a namespace that its token is not for', {
          client: this.#client,
          node: node.id,
          namespace,
        })
        this.end(status.UNAUTHENTICATED, 'authentication failure')
        return
      }
      this.#client = pod
    }
    const watch = this.#watches.get(typeUrl)
    if (!watch) {
      this.end(status.INVALID_ARGUMENT, `no resources of type ${JSON.stringify(typeUrl.slice(0, 200))} are served here`)
      return
    }
    const heard = watch.hear(request)
    const type = shortNames[typeUrl as TypeUrl]
    if (heard === 'refused') {
      this.#o.log.warn('a client refused a push', { client: this.#client, type, nonce: responseNonce, error: errorDetail?.message })
      this.#o.metrics.count('pilot_total_xds_rejects', { type: typeUrl })
    } else if (heard === 'subscribed') {
      this.#o.log.info('a client subscribed', {
        client: this.#client,
        type,
        names: request.resourceNamesSubscribe.length,
        has: Object.keys(request.initialResourceVersions).length,
      })
    }
    this.#flush()
  }

  /** Sends what there is to say, as far as the client takes it; the rest waits, and what changes meanwhile is sent once. */
  #flush(): void {
    if (!this.#authenticated) return
    for (const [typeUrl, watch] of this.#watches) {
      if (this.#ended || this.#blocked) return
      if (!watch.waits) continue
      const delta = watch.take()
      if (delta) this.#send(typeUrl as TypeUrl, watch, delta)
    }
  }

  #send(typeUrl: TypeUrl, watch: Watch, { resources, removed }: Delta): void {
    const nonce = `${++this.#nonces}`
    watch.nonce = nonce
    this.#blocked = !this.#call.write({
      typeUrl,
      nonce,
      resources: resources.map(({ name, version, bytes, aliases }) => ({ name, version, aliases, resource: { typeUrl, value: bytes } })),
      removedResources: removed,
    })
    const type = shortNames[typeUrl]
    this.#o.metrics.count('pilot_xds_pushes', { type: type.toLowerCase() })
    this.#o.log.info('push', {
      client: this.#client,
      type,
      resources: resources.length,
      removed: removed.length,
      nonce,
      names: listed([...resources.map((r) => r.name), ...removed]),
    })
  }
}

function listed(names: readonly string[]): string {
  return names.length > 20 ? `${names.slice(0, 20).join(',')},… (${names.length})` : names.join(',')
}
