import { spawn } from 'node:child_process'
import { generateKeyPairSync, type webcrypto } from 'node:crypto'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
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
import { type ApiServer, createApiServer } from '../lab/apiserver/server.ts'
import { resources } from '../lab/apiserver/store.ts'
import { startControllers } from '../lab/controllers/controllers.ts'
import { nodeFlags, pinnedNode, repository } from '../lab/node/root.ts'
import { istiodManifests } from '../manifests/istiod.ts'

/** A Kubernetes API with the mesh's namespace, and the control plane's program against it, as one process. */
export interface TestMesh extends AsyncDisposable {
  readonly api: ApiServer
  start(env?: Record<string, string>): Promise<Program>
  /** A token of the pod's service account that is bound to the pod. */
  token(pod: { name: string; namespace: string; account?: string }, audience?: string): string
  /** A pod with an address, ready. */
  pod(name: string, pod: { namespace: string; node: string; ip: string; account?: string; labels?: Record<string, string> }): void
  namespace(name: string): void
  rootPem(): string
}

export interface Program {
  readonly lines: string[]
  readonly port: number
  readonly healthPort: number
  readonly metricsPort: number
  /** Resolves with the first line that fits, also one from before. */
  line(fits: RegExp): Promise<string>
  /** @returns exit code */
  stop(signal?: NodeJS.Signals): Promise<number | null>
}

const system = 'istio-system'

/** What of the manifests says what the program may do. */
const rights = {
  ServiceAccount: resources.serviceaccounts,
  ClusterRole: resources.clusterroles,
  ClusterRoleBinding: resources.clusterrolebindings,
  Role: resources.roles,
  RoleBinding: resources.rolebindings,
}

/** @param historySize how many changes the API server remembers for watches that come back */
export async function startTestMesh({ historySize }: { historySize?: number } = {}): Promise<TestMesh> {
  const directory = mkdtempSync(join(tmpdir(), 'everyhop-discovery-'))
  const api = await createApiServer({
    listeners: [{ host: '127.0.0.1', port: 0 }],
    advertise: { address: '172.30.0.1', port: 6443 },
    bookmarkEvery: 200,
    ...(historySize === undefined ? {} : { historySize }),
  })
  const { store } = api
  const stopControllers = startControllers(store, { caPem: api.caPem })
  const account = (namespace: string, name: string) => {
    if (!store.find(resources.serviceaccounts, { namespace, name }))
      store.create(resources.serviceaccounts, { metadata: { name, namespace } })
  }
  const namespace = (name: string) => void store.create(resources.namespaces, { metadata: { name } })
  namespace(system)
  for (const object of istiodManifests()) {
    const resource = rights[object.kind as keyof typeof rights]
    if (resource) store.create(resource, object as never)
  }
  const programs: Program[] = []
  const accountDir = join(directory, 'serviceaccount')
  mkdirSync(accountDir)
  writeFileSync(join(accountDir, 'ca.crt'), api.caPem)
  writeFileSync(join(accountDir, 'token'), api.tokens.issue({ namespace: system, name: 'istiod' }).token)
  return {
    api,
    namespace,
    async start(env = {}) {
      const program = await startProgram({
        KUBERNETES_SERVICE_HOST: '127.0.0.1',
        KUBERNETES_SERVICE_PORT: String(api.ports[0]),
        SERVICE_ACCOUNT_DIR: accountDir,
        GRPC_PORT: '0',
        HEALTH_PORT: '0',
        MONITORING_PORT: '0',
        ...env,
      })
      programs.push(program)
      await published(store, system)
      return program
    },
    token({ name, namespace, account: own = name }, audience = 'istio-ca') {
      const { uid } = store.get(resources.pods, { namespace, name }).metadata
      const boundObjectRef = { kind: 'Pod', name, uid: uid! }
      return api.tokens.issue({ namespace, name: own }, { audiences: [audience], boundObjectRef }).token
    },
    pod(name, { namespace, node, ip, account: own = name, labels = { app: name } }) {
      account(namespace, own)
      const spec = { nodeName: node, serviceAccountName: own, containers: [{ name: 'c', image: 'i' }] }
      store.create(resources.pods, { metadata: { name, namespace, labels }, spec })
      const conditions = [{ type: 'Ready', status: 'True' }]
      const status = { phase: 'Running', podIP: ip, podIPs: [{ ip }], conditions }
      store.patch(resources.pods, { name, namespace }, { status }, { subresource: 'status' })
    },
    rootPem() {
      const { data } = store.get(resources.configmaps, { namespace: system, name: 'istio-ca-root-cert' }) as {
        data?: Record<string, string>
      }
      return data?.['root-cert.pem'] ?? ''
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(programs.map((program) => program.stop('SIGKILL')))
      stopControllers()
      await api.close()
      rmSync(directory, { recursive: true, force: true })
    },
  }
}

/** Resolves when the namespace has the root's ConfigMap. */
export function published(store: ApiServer['store'], namespace: string): Promise<void> {
  return new Promise((resolve) => {
    const stop = store.watch(resources.configmaps, { namespace }, ({ type, object }) => {
      if (type === 'DELETED' || object.metadata.name !== 'istio-ca-root-cert') return
      setImmediate(() => stop())
      resolve()
    })
  })
}

async function startProgram(env: Record<string, string>): Promise<Program> {
  const child = spawn(pinnedNode, [...nodeFlags, join(repository, 'images/discovery/main.ts')], {
    env: { PATH: process.env.PATH, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const lines: string[] = []
  const looking = new Set<() => void>()
  createInterface({ input: child.stdout }).on('line', (line) => {
    lines.push(line)
    for (const look of looking) look()
  })
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve))
  const line = (fits: RegExp) =>
    new Promise<string>((resolve, reject) => {
      const look = () => {
        const found = lines.find((l) => fits.test(l))
        if (found === undefined) return
        looking.delete(look)
        resolve(found)
      }
      looking.add(look)
      void ended.then(() => reject(new Error(`the program ended without ${fits}:\n${lines.join('\n')}`)))
      look()
    })
  const ready = await line(/\tready\t/)
  const port = (name: string) => Number(new RegExp(`${name}=(\\d+)`).exec(ready)?.[1])
  return {
    lines,
    line,
    port: port('grpc'),
    healthPort: port('health'),
    metricsPort: port('metrics'),
    stop(signal = 'SIGTERM') {
      child.kill(signal)
      return ended
    },
  }
}

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
