import { createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import { type CaFiles, generateCa } from '../../../images/lib/ca.ts'
import { bootstrap } from './bootstrap.ts'
import { clusterNames, serverCertificate } from './certificate.ts'
import type { Authorizer, OnDecision } from './http/authorization.ts'
import { createHandler } from './http/handler.ts'
import { rbac } from './http/rbac.ts'
import { Store, type StoreOptions } from './store.ts'
import { Tokens } from './tokens.ts'
import type { Pod } from './types.ts'

/** A bound (not yet listening) TCP socket, such as one made in another network namespace; or an address of this one. Port 0: any. */
export type Listener = { readonly fd: number } | { readonly host: string; readonly port: number }

export interface ApiServerOptions extends StoreOptions {
  readonly listeners: readonly Listener[]
  /** Further DNS names and IP addresses of the certificate, beside kubernetes.default… and the loopback. */
  readonly names?: readonly string[]
  /** Where pods reach the server: the endpoint of the Service `kubernetes`, whose ClusterIP is the first of the CIDR. None: no such Service. */
  readonly advertise?: { readonly address: string; readonly port: number }
  /** @default a new one */
  readonly ca?: CaFiles
  /** The text of a container's log file in CRI format, for `pods/log`. */
  readonly podLog?: (pod: Pod, container: string) => Promise<string> | string
  /** Milliseconds between bookmarks. @default a minute */
  readonly bookmarkEvery?: number
  /** @default what Roles and ClusterRoles say */
  readonly authorize?: Authorizer
  /** Is told of every request's decision, not of reviews'. */
  readonly onDecision?: OnDecision
}

export interface ApiServer extends AsyncDisposable {
  /** Certificate of the server's CA. */
  readonly caPem: string
  readonly adminToken: string
  /** The same state, without HTTP. */
  readonly store: Store
  /** Issues and checks tokens of service accounts, without HTTP. */
  readonly tokens: Tokens
  /** Ports of the listeners, in their order. */
  readonly ports: readonly number[]
  /** A kubeconfig of the administrator. @param serverUrl such as `https://127.0.0.1:6443` */
  kubeconfig(serverUrl: string): string
  /** Cuts all connections, open watches too. */
  close(): Promise<void>
}

/**
 * Starts a Kubernetes API server over HTTPS (HTTP/1.1, TLS 1.2 and 1.3, bearer tokens). State is in memory and ends with it.
 * Nothing moves by itself: the controllers are started apart, on its `store`.
 */
export async function createApiServer(options: ApiServerOptions): Promise<ApiServer> {
  const ca = options.ca ?? (await generateCa({ commonName: 'kubernetes' }))
  const store = new Store(options)
  const serviceIp = bootstrap(store, options)
  const certificate = await serverCertificate(ca, [...clusterNames, serviceIp, ...(options.names ?? [])])
  const tokens = new Tokens(store)
  const handler = createHandler({
    store,
    tokens,
    authorize: options.authorize ?? rbac(store),
    onDecision: options.onDecision ?? (() => {}),
    podLog: options.podLog,
    bookmarkEvery: options.bookmarkEvery ?? 60_000,
  })
  const servers: Server[] = []
  const close = async () => {
    await Promise.all(servers.map(closeServer))
  }
  try {
    for (const listener of options.listeners) {
      const server = createServer({ ...certificate, minVersion: 'TLSv1.2', ALPNProtocols: ['http/1.1'], keepAliveTimeout: 90_000 }, handler)
      servers.push(server)
      await listen(server, listener)
    }
  } catch (error) {
    await close()
    throw error
  }
  const caPem = ca['root-cert.pem']
  return {
    caPem,
    adminToken: tokens.adminToken,
    store,
    tokens,
    ports: servers.map((server) => (server.address() as AddressInfo).port),
    kubeconfig: (serverUrl) => kubeconfig(serverUrl, caPem, tokens.adminToken),
    close,
    [Symbol.asyncDispose]: close,
  }
}

function listen(server: Server, listener: Listener): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(listener, () => {
      server.off('error', reject)
      resolve()
    })
  })
}

function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve())
    server.closeAllConnections()
  })
}

/** JSON is YAML: no library is needed to write it. */
function kubeconfig(server: string, caPem: string, token: string): string {
  const name = 'everyhop'
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name, cluster: { server, 'certificate-authority-data': Buffer.from(caPem).toString('base64') } }],
    users: [{ name, user: { token } }],
    contexts: [{ name, context: { cluster: name, user: name } }],
    'current-context': name,
  }
  return `${JSON.stringify(config, null, 2)}\n`
}
