import { join } from 'node:path'
import { Server } from '@grpc/grpc-js'
import type { Ca } from '../lib/ca.ts'
import { channelOptions, createCertificate, deltaAggregatedResources } from '../lib/xds/grpc.ts'
import { Authenticator } from './auth.ts'
import { isEnding, openAuthority } from './ca/authority.ts'
import { NodeAuthorizer } from './ca/node-authorizer.ts'
import { type ConfigMap, RootConfigMaps, rootConfigMap } from './ca/root-config-maps.ts'
import { CertificateService } from './ca/service.ts'
import { ServingCredentials } from './ca/serving.ts'
import type { Config } from './config.ts'
import { Debounce } from './debounce.ts'
import { KubeClient } from './kubernetes/client.ts'
import { type Handlers, Informer } from './kubernetes/informer.ts'
import type { KubeObject, Namespace, Pod } from './kubernetes/objects.ts'
import { createLog } from './log.ts'
import type { Metrics } from './metrics.ts'
import { Conversion, type Kinds } from './resources/conversion.ts'
import { DiscoveryService } from './xds/service.ts'

/** How often the root is looked at, milliseconds. */
const rootCheckMs = 3_600_000
/** Dead clients are noticed by their silence (Istio's server asks every 30 s, too). */
const keepalive = { 'grpc.keepalive_time_ms': 30_000, 'grpc.keepalive_timeout_ms': 10_000 }
/** How long a connection that is told to end for its age has for it, milliseconds (Istio, pkg/keepalive). */
const ageGraceMs = 10_000

/** The running control plane. */
export class Discovery {
  readonly #config: Config
  readonly #client: KubeClient
  readonly #conversion: Conversion
  readonly #nodes: NodeAuthorizer
  readonly #informers: Informer<KubeObject>[] = []
  readonly #pushes: Debounce
  readonly #xds: DiscoveryService
  readonly #metrics: Metrics
  readonly #server: Server
  #credentials: ServingCredentials | undefined
  #rootTimer: NodeJS.Timeout | undefined
  #ca: Ca | undefined

  constructor(config: Config, metrics: Metrics) {
    this.#config = config
    this.#metrics = metrics
    // One after the other, a tenth more or less each: where several control planes serve, clients spread anew.
    const age = {
      'grpc.max_connection_age_ms': config.maxConnectionAge,
      'grpc.max_connection_age_grace_ms': Math.min(ageGraceMs, config.maxConnectionAge),
    }
    this.#server = new Server({ ...channelOptions, ...keepalive, ...age })
    const { clusterId, namespace: rootNamespace, trustDomain, domain, network, audience } = config
    this.#client = new KubeClient({
      server: config.apiServer,
      caFile: join(config.serviceAccountDir, 'ca.crt'),
      tokenFile: join(config.serviceAccountDir, 'token'),
    })
    this.#conversion = new Conversion({ clusterId, rootNamespace, trustDomain, domain, network })
    this.#nodes = new NodeAuthorizer(config.trustedNodeAccounts, trustDomain)
    this.#pushes = new Debounce(() => this.#push(), config.debounceAfter, config.debounceMax)
    const authenticator = new Authenticator(this.#client, { audience, clusterId })
    this.#xds = new DiscoveryService({
      conversion: this.#conversion,
      authenticate: (call) => authenticator.authenticate(call),
      log: createLog('ads', config.logLevel),
      metrics,
    })
    const certificates = new CertificateService({
      authenticator,
      nodes: this.#nodes,
      ca: () => this.#authority(),
      defaultTtl: config.defaultTtl,
      maxTtl: config.maxTtl,
      log: createLog('serverca', config.logLevel),
      metrics,
    })
    this.#server.addService({ stream: deltaAggregatedResources } as never, { stream: this.#xds.stream })
    this.#server.addService({ sign: createCertificate } as never, { sign: certificates.createCertificate })
  }

  /** Resolves when clients are served. @returns the port @throws Error that says what is missing */
  async start(): Promise<number> {
    const { namespace, logLevel } = this.#config
    const log = createLog('serverca', logLevel)
    const roots = new RootConfigMaps(this.#client, log)
    const authority = () =>
      openAuthority({ client: this.#client, namespace, trustDomain: this.#config.trustDomain, rootTtl: this.#config.rootTtl, log })
    // Nobody is answered before everything is known: half of it would look as if the rest had been removed.
    const [ca] = await Promise.all([authority(), this.#follow(roots)])
    this.#ca = ca
    roots.setRoot(ca.rootPem)
    this.#rootTimer = setInterval(() => {
      if (!isEnding(this.#authority())) return
      authority().then(
        (renewed) => {
          this.#ca = renewed
          roots.setRoot(renewed.rootPem)
        },
        (error: Error) => log.error('the root certificate was not renewed', { error: error.message }),
      )
    }, rootCheckMs).unref()
    this.#push()
    const names = [`istiod.${namespace}.svc`, `istiod.${namespace}.svc.${this.#config.domain}`, `istiod.${namespace}`]
    this.#credentials = await ServingCredentials.create(() => this.#authority(), names, this.#config.defaultTtl, log)
    return this.#listen(this.#credentials)
  }

  /** Ends streams so that clients go elsewhere, lets calls in flight end, closes everything. */
  async stop(): Promise<void> {
    clearInterval(this.#rootTimer)
    this.#credentials?.stop()
    this.#pushes.stop()
    for (const informer of this.#informers) informer.stop()
    this.#xds.close()
    await new Promise<void>((resolve) => {
      const force = setTimeout(() => {
        this.#server.forceShutdown()
        resolve()
      }, 2000)
      this.#server.tryShutdown(() => {
        clearTimeout(force)
        resolve()
      })
    })
    this.#client.close()
  }

  async #follow(roots: RootConfigMaps): Promise<void> {
    const resources = <K extends keyof Kinds>(kind: K): Handlers<Kinds[K]> => ({
      put: (object) => {
        this.#conversion.put(kind, object)
        this.#heard(kind, 'update')
      },
      remove: (object) => {
        this.#conversion.remove(kind, object)
        this.#heard(kind, 'delete')
      },
    })
    const pods = resources('pods')
    await Promise.all([
      this.#inform<Pod>('/api/v1/pods', {
        put: (pod) => {
          this.#nodes.put(pod)
          pods.put(pod)
        },
        remove: (pod) => {
          this.#nodes.remove(pod)
          pods.remove(pod)
        },
      }),
      this.#inform('/api/v1/services', resources('services')),
      this.#inform('/api/v1/nodes', resources('nodes')),
      this.#inform('/apis/discovery.k8s.io/v1/endpointslices', resources('endpointSlices')),
      this.#inform('/apis/security.istio.io/v1/authorizationpolicies', resources('authorizationPolicies')),
      this.#inform('/apis/security.istio.io/v1/peerauthentications', resources('peerAuthentications')),
      this.#inform<Namespace>('/api/v1/namespaces', roots.namespaces),
      this.#inform<ConfigMap>('/api/v1/configmaps', roots.configMaps, `metadata.name=${rootConfigMap}`),
    ])
  }

  #inform<T extends KubeObject>(path: string, on: Handlers<T>, fieldSelector?: string): Promise<void> {
    const informer = new Informer<T>(this.#client, path, on, createLog('kube', this.#config.logLevel), fieldSelector)
    this.#informers.push(informer as unknown as Informer<KubeObject>)
    return informer.start()
  }

  #heard(kind: keyof Kinds, event: 'update' | 'delete'): void {
    const isPolicy = kind === 'authorizationPolicies' || kind === 'peerAuthentications'
    this.#metrics.count(isPolicy ? 'pilot_k8s_cfg_events' : 'pilot_k8s_reg_events', { type: kind, event })
    this.#pushes.call()
  }

  #push(): void {
    this.#xds.push(this.#conversion.flush())
  }

  #authority(): Ca {
    if (!this.#ca) throw new Error('the CA is not open yet')
    return this.#ca
  }

  async #listen(credentials: ServingCredentials): Promise<number> {
    const bind = (host: string) =>
      new Promise<number>((resolve, reject) => {
        const address = `${host}:${this.#config.grpcPort}`
        this.#server.bindAsync(address, credentials, (error, port) => (error ? reject(error) : resolve(port)))
      })
    // A host without IPv6 has no [::].
    return bind('[::]').catch(() => bind('0.0.0.0'))
  }
}
