import { createPrivateKey, generateKeyPairSync, webcrypto } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import { type Metadata, Server, ServerCredentials, type ServerDuplexStream, type ServiceError, status } from '@grpc/grpc-js'
import { type CaFiles, x509 } from '../../lib/ca.ts'
import { createCertificate, deltaAggregatedResources } from '../../lib/xds/grpc.ts'
import {
  Address,
  Authorization,
  type AuthorizationInit,
  type DeltaDiscoveryRequest,
  type DeltaDiscoveryResponseInit,
  type IstioCertificateRequest,
  type ServiceInit,
  typeUrls,
  type WorkloadInit,
} from '../../lib/xds/messages.ts'

const curve = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const

/** A certificate that `files` signed: for a server called `localhost`, or for `options` of any kind. */
export async function signed(
  files: CaFiles,
  options: { publicKeyPem?: string; uri?: string; dns?: string; ttl?: number; ca?: boolean },
): Promise<{ certificatePem: string; keyPem: string }> {
  const lib = await x509()
  const issuer = new lib.X509Certificate(files['ca-cert.pem'])
  const key = createPrivateKey(files['ca-key.pem']).toCryptoKey(curve, true, ['sign'])
  const own = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const publicKey = options.publicKeyPem
    ? await new lib.Pkcs10CertificateRequest(options.publicKeyPem).publicKey.export(curve, ['verify'], webcrypto as never)
    : own.publicKey.toCryptoKey(curve, true, ['verify'])
  const certificate = await lib.X509CertificateGenerator.create({
    issuer: issuer.subject,
    ...(options.ca && { subject: 'O=intermediate' }),
    notBefore: new Date(Date.now() - 120_000),
    notAfter: new Date(Date.now() + (options.ttl ?? 3_600_000)),
    publicKey,
    signingKey: key,
    signingAlgorithm: curve,
    extensions: [
      ...(options.ca ? [new lib.BasicConstraintsExtension(true, undefined, true)] : []),
      ...(options.uri ? [new lib.SubjectAlternativeNameExtension([{ type: 'url', value: options.uri }], true)] : []),
      ...(options.dns ? [new lib.SubjectAlternativeNameExtension([{ type: 'dns', value: options.dns }])] : []),
    ],
  })
  return { certificatePem: `${certificate.toString('pem')}\n`, keyPem: own.privateKey.export({ type: 'pkcs8', format: 'pem' }) as string }
}

/** One stream that ztunnel opened. */
export class Stream {
  readonly requests: DeltaDiscoveryRequest[] = []
  readonly metadata: Record<string, unknown>
  readonly ended = Promise.withResolvers<void>()
  readonly #stream: ServerDuplexStream<DeltaDiscoveryRequest, DeltaDiscoveryResponseInit>
  #wake: () => void = () => {}

  constructor(stream: ServerDuplexStream<DeltaDiscoveryRequest, DeltaDiscoveryResponseInit>) {
    this.#stream = stream
    this.metadata = stream.metadata.getMap()
    stream.on('data', (request: DeltaDiscoveryRequest) => {
      this.requests.push(request)
      this.#wake()
    })
    stream.on('error', () => {})
    stream.on('close', () => this.ended.resolve())
    stream.on('end', () => stream.end())
  }

  /** The n-th request, from 0. */
  async request(n: number): Promise<DeltaDiscoveryRequest> {
    while (!this.requests[n]) await new Promise<void>((resolve) => (this.#wake = resolve))
    return this.requests[n]
  }

  /** Sends a response and waits for its acknowledgement. */
  async push(response: DeltaDiscoveryResponseInit & { typeUrl: string }): Promise<DeltaDiscoveryRequest> {
    const nonce = `n${this.requests.length}-${Math.random()}`
    let next = this.requests.length
    this.#stream.write({ nonce, ...response })
    for (;;) {
      const request = await this.request(next++)
      if (request.responseNonce === (response.nonce ?? nonce)) return request
    }
  }

  /** Ends as a server does that goes away in good order. */
  end(): void {
    this.#stream.end()
  }
}

type Signer = (request: IstioCertificateRequest, metadata: Metadata) => Promise<string[]>

/** A control plane made of ztunnel's own codecs: the test says what it sends, and sees what it is asked. */
export class ControlPlane {
  readonly files: CaFiles
  readonly #dir: string
  readonly #streams: Stream[] = []
  #server: Server | undefined
  #wake: () => void = () => {}
  port = 0
  /** How certificates are signed. */
  sign: Signer

  /** @param dir gets `root-cert.pem` and `token` */
  constructor(files: CaFiles, dir: string) {
    this.files = files
    this.#dir = dir
    mkdirSync(dir, { recursive: true })
    writeFileSync(join(dir, 'root-cert.pem'), files['root-cert.pem'])
    writeFileSync(join(dir, 'token'), 'token-1\n')
    this.sign = async ({ csr, metadata }) => {
      const { certificatePem } = await signed(files, { publicKeyPem: csr, uri: String(metadata?.ImpersonatedIdentity) })
      return [certificatePem, files['root-cert.pem']]
    }
  }

  /** What ztunnel's environment must say. */
  get env(): Record<string, string> {
    return this.envFor(`https://localhost:${this.port}`)
  }

  envFor(address: string): Record<string, string> {
    const root = join(this.#dir, 'root-cert.pem')
    return { XDS_ADDRESS: address, CA_ADDRESS: address, XDS_ROOT_CA: root, CA_ROOT_CA: root, TOKEN_PATH: join(this.#dir, 'token') }
  }

  /**
   * Listens on this host, or takes the connections that `accept` hands over; again on the same port after `stop`.
   * @param options.dns the name in its certificate
   */
  async start(options: { dns?: string; accept?: (take: (socket: Socket) => void) => void } = {}): Promise<void> {
    const { certificatePem, keyPem } = await signed(this.files, { dns: options.dns ?? 'localhost' })
    const server = new Server()
    server.addService(
      { deltaAggregatedResources },
      {
        deltaAggregatedResources: (stream: ServerDuplexStream<DeltaDiscoveryRequest, DeltaDiscoveryResponseInit>) => {
          this.#streams.push(new Stream(stream))
          this.#wake()
        },
      },
    )
    server.addService(
      { createCertificate },
      {
        createCertificate: (
          call: { request: IstioCertificateRequest; metadata: Metadata },
          answer: (error: Partial<ServiceError> | null, value?: { certChain: string[] }) => void,
        ) => {
          this.sign(call.request, call.metadata).then(
            (certChain) => answer(null, { certChain }),
            (error: Error & { code?: number }) => answer({ code: error.code ?? status.PERMISSION_DENIED, details: error.message }),
          )
        },
      },
    )
    const credentials = ServerCredentials.createSsl(null, [{ private_key: Buffer.from(keyPem), cert_chain: Buffer.from(certificatePem) }])
    if (options.accept) {
      const injector = server.createConnectionInjector(credentials)
      options.accept((socket) => injector.injectConnection(socket))
    } else
      this.port = await new Promise<number>((resolve, reject) =>
        server.bindAsync(`127.0.0.1:${this.port}`, credentials, (error, port) => (error ? reject(error) : resolve(port))),
      )
    this.#server = server
  }

  /** Goes away without a word. */
  stop(): void {
    this.#server?.forceShutdown()
    this.#server = undefined
  }

  /** The n-th stream since the beginning, from 0. */
  async stream(n = 0): Promise<Stream> {
    while (!this.#streams[n]) await new Promise<void>((resolve) => (this.#wake = resolve))
    return this.#streams[n]
  }
}

export const workloadResource = (workload: WorkloadInit & { uid: string }, version = '1') => ({
  name: workload.uid,
  version,
  resource: { typeUrl: typeUrls.address, value: Address.encode({ workload }) },
})
export const serviceResource = (service: ServiceInit & { namespace: string; hostname: string }, version = '1') => ({
  name: `${service.namespace}/${service.hostname}`,
  version,
  resource: { typeUrl: typeUrls.address, value: Address.encode({ service }) },
})
export const policyResource = (policy: AuthorizationInit & { namespace: string; name: string }, version = '1') => ({
  name: `${policy.namespace}/${policy.name}`,
  version,
  resource: { typeUrl: typeUrls.authorization, value: Authorization.encode(policy) },
})
