import { generateKeyPairSync, type webcrypto } from 'node:crypto'
import { Client, type ClientDuplexStream, credentials, Metadata } from '@grpc/grpc-js'
import { x509 } from '../../images/lib/ca.ts'
import { channelOptions, createCertificate, deltaAggregatedResources } from '../../images/lib/xds/grpc.ts'
import {
  Address,
  Authorization,
  type DeltaDiscoveryRequestInit,
  type DeltaDiscoveryResponse,
  type IstioCertificateRequestInit,
  type IstioCertificateResponse,
  typeUrls,
} from '../../images/lib/xds/messages.ts'

/** A node's proxy, as far as the control plane sees it. */
export class TestClient {
  readonly #client: Client
  readonly #metadata = new Metadata()

  constructor(port: number, rootPem: string, token: string) {
    const name = { 'grpc.ssl_target_name_override': 'istiod.istio-system.svc', 'grpc.default_authority': 'istiod.istio-system.svc' }
    this.#client = new Client(`127.0.0.1:${port}`, credentials.createSsl(Buffer.from(rootPem)), { ...channelOptions, ...name })
    this.#metadata.set('authorization', `Bearer ${token}`)
    this.#metadata.set('clusterid', 'Kubernetes')
  }

  open(): TestStream {
    const { path, requestSerialize, responseDeserialize } = deltaAggregatedResources
    return new TestStream(this.#client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize, this.#metadata))
  }

  sign(request: IstioCertificateRequestInit): Promise<IstioCertificateResponse> {
    const { path, requestSerialize, responseDeserialize } = createCertificate
    return new Promise((resolve, reject) =>
      this.#client.makeUnaryRequest(path, requestSerialize, responseDeserialize, request, this.#metadata, (error, value) =>
        error ? reject(error) : resolve(value!),
      ),
    )
  }

  close(): void {
    this.#client.close()
  }
}

/** One stream; what comes is acknowledged at once, and kept. */
export class TestStream {
  readonly #call: ClientDuplexStream<DeltaDiscoveryRequestInit, DeltaDiscoveryResponse>
  readonly responses: DeltaDiscoveryResponse[] = []
  /** What the client has: name → version. */
  readonly has: Record<keyof typeof typeUrls, Map<string, string>> = { address: new Map(), authorization: new Map() }
  readonly #looking = new Set<() => void>()
  error: Error | undefined

  constructor(call: ClientDuplexStream<DeltaDiscoveryRequestInit, DeltaDiscoveryResponse>) {
    this.#call = call
    call.on('data', (response: DeltaDiscoveryResponse) => {
      const has = this.#of(response.typeUrl)
      for (const { name, version } of response.resources) has.set(name, version)
      for (const name of response.removedResources) has.delete(name)
      this.responses.push(response)
      this.send({ typeUrl: response.typeUrl, responseNonce: response.nonce })
      this.#look()
    })
    call.on('error', (error) => {
      this.error = error
      this.#look()
    })
  }

  send(request: DeltaDiscoveryRequestInit): void {
    this.#call.write(request)
  }

  /** Both types, everything, with what a client before had. */
  subscribe(before?: TestStream): void {
    const node = { id: 'ztunnel~10.0.0.1~ztunnel-one.istio-system~istio-system.svc.cluster.local' }
    for (const type of ['address', 'authorization'] as const) {
      const initialResourceVersions = Object.fromEntries(before?.has[type] ?? [])
      if (before) for (const [name, version] of before.has[type]) this.has[type].set(name, version)
      this.send({ node, typeUrl: typeUrls[type], initialResourceVersions })
    }
  }

  /** Resolves with the value of `look` as soon as there is one; looked at with every response. */
  until<T>(look: () => T | undefined | false): Promise<T> {
    return new Promise((resolve, reject) => {
      const now = () => {
        const found = look()
        if (found) resolve(found)
        else if (this.error) reject(this.error)
        else return
        this.#looking.delete(now)
      }
      this.#looking.add(now)
      now()
    })
  }

  /** The first answers of both types. */
  begun(): Promise<unknown> {
    return this.until(() => new Set(this.responses.map((r) => r.typeUrl)).size === 2)
  }

  cancel(): void {
    this.#call.cancel()
  }

  #of(typeUrl: string): Map<string, string> {
    return typeUrl === typeUrls.address ? this.has.address : this.has.authorization
  }

  #look(): void {
    for (const look of this.#looking) look()
  }
}

/** All resources of a response, decoded. */
export function decoded(response: DeltaDiscoveryResponse) {
  return response.resources.map((r) => {
    const bytes = r.resource?.value ?? new Uint8Array(0)
    return response.typeUrl === typeUrls.address ? Address.decode(bytes) : Authorization.decode(bytes)
  })
}

/** A signing request as ztunnel makes it: P-256, no subject, these names. */
export async function makeCsr(...names: string[]): Promise<{ pem: string; publicKey: string }> {
  const lib = await x509()
  const keys = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
  const csr = await lib.Pkcs10CertificateRequestGenerator.create({
    keys: {
      privateKey: keys.privateKey.toCryptoKey(algorithm, true, ['sign']) as webcrypto.CryptoKey,
      publicKey: keys.publicKey.toCryptoKey(algorithm, true, ['verify']) as webcrypto.CryptoKey,
    },
    signingAlgorithm: algorithm,
    extensions: names.length > 0 ? [new lib.SubjectAlternativeNameExtension(names.map((value) => ({ type: 'url' as const, value })))] : [],
  })
  return { pem: csr.toString('pem'), publicKey: keys.publicKey.export({ type: 'spki', format: 'pem' }) as string }
}
