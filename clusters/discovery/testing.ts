import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
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
  for (const object of istiodManifests({ mode: 'inpod', release: 'today' })) {
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
