import { type ChildProcess, spawn } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { once } from 'node:events'
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type ApiAccess, ApiClient } from '../../api-client.ts'
import { program } from '../node-image/programs.ts'

/** How long a real API server takes at most until it is ready, milliseconds. */
const startMs = 60_000

/** Kubernetes' own API server with its etcd, on the loopback, without nodes. */
export interface RealApiServer extends AsyncDisposable {
  readonly access: ApiAccess
  /** A kubeconfig file of the administrator. */
  readonly kubeconfig: string
}

/** What turns workloads into pods, and nothing that looks after nodes: there are no kubelets. */
const controllers = ['daemonset', 'deployment', 'replicaset', 'serviceaccount', 'garbage-collector', 'namespace'].map(
  (name) => `${name}-controller`,
)

/**
 * Starts the programs that our node image is made of; compiles them first where they are not in the cache.
 * @param withControllers Kubernetes' controllers of workloads and its scheduler too
 */
export async function startRealApiServer({ withControllers = false } = {}): Promise<RealApiServer> {
  const [etcd, kubernetes] = [await program('etcd'), await program('kubernetes')]
  const directory = mkdtempSync(join(tmpdir(), 'everyhop-api-'))
  const children: ChildProcess[] = []
  const stop = async () => {
    await Promise.all(
      children.toReversed().map(async (child) => {
        if (child.exitCode !== null || child.signalCode !== null) return
        const ended = once(child, 'close')
        child.kill('SIGKILL')
        await ended
      }),
    )
    rmSync(directory, { recursive: true, force: true })
  }
  try {
    const [clients, peers, port] = [await freePort(), await freePort(), await freePort()]
    const start = (file: string, args: Readonly<Record<string, string>>) => {
      const log = openSync(join(directory, 'log'), 'a')
      const flags = Object.entries(args).map(([key, value]) => `--${key}=${value}`)
      children.push(spawn(file, flags, { cwd: directory, stdio: ['ignore', log, log] }))
      closeSync(log)
    }
    const [url, peer] = [`http://127.0.0.1:${clients}`, `http://127.0.0.1:${peers}`]
    start(join(etcd.directory, 'etcd'), {
      'data-dir': 'data',
      'listen-client-urls': url,
      'advertise-client-urls': url,
      'listen-peer-urls': peer,
      'initial-advertise-peer-urls': peer,
      'initial-cluster': `default=${peer}`,
    })
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
    writeFileSync(join(directory, 'accounts.key'), privateKey.export({ type: 'pkcs1', format: 'pem' }))
    writeFileSync(join(directory, 'tokens.csv'), 'admin,admin,admin,"system:masters"\n')
    // One binary that is what its name says.
    for (const name of ['kube-apiserver', 'kube-controller-manager', 'kube-scheduler'])
      symlinkSync(join(kubernetes.directory, 'kubernetes'), join(directory, name))
    start(join(directory, 'kube-apiserver'), {
      'etcd-servers': url,
      'secure-port': String(port),
      'bind-address': '127.0.0.1',
      'cert-dir': 'certificates',
      'token-auth-file': 'tokens.csv',
      'authorization-mode': 'RBAC',
      'service-account-key-file': 'accounts.key',
      'service-account-signing-key-file': 'accounts.key',
      'service-account-issuer': 'https://kubernetes.default.svc',
      'service-cluster-ip-range': '10.96.0.0/16',
      'allow-privileged': 'true',
    })
    const access = await ready(join(directory, 'certificates/apiserver.crt'), port, children, join(directory, 'log'))
    const kubeconfig = join(directory, 'kubeconfig')
    writeFileSync(kubeconfig, configOf(access))
    if (withControllers) {
      const common = { kubeconfig, 'leader-elect': 'false', 'secure-port': '0' }
      start(join(directory, 'kube-controller-manager'), { ...common, controllers: controllers.join(',') })
      start(join(directory, 'kube-scheduler'), common)
    }
    return { access, kubeconfig, [Symbol.asyncDispose]: stop }
  } catch (error) {
    await stop()
    throw error
  }
}

/** JSON is YAML. */
function configOf({ server, ca = '', token }: ApiAccess): string {
  const name = 'test'
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name, cluster: { server, 'certificate-authority-data': Buffer.from(ca).toString('base64') } }],
    users: [{ name, user: { token } }],
    contexts: [{ name, context: { cluster: name, user: name } }],
    'current-context': name,
  })
}

async function ready(certificate: string, port: number, children: readonly ChildProcess[], log: string): Promise<ApiAccess> {
  const deadline = performance.now() + startMs
  for (;;) {
    try {
      const access = { server: `https://127.0.0.1:${port}`, ca: readFileSync(certificate, 'utf8'), token: 'admin' }
      const api = new ApiClient(access)
      try {
        if ((await api.text('GET', '/readyz')) === 'ok') return access
      } finally {
        api.close()
      }
    } catch (error) {
      const dead = children.some((child) => child.exitCode !== null || child.signalCode !== null)
      if (dead || performance.now() > deadline)
        throw new Error(`the API server does not come up: ${(error as Error).message}\n${readFileSync(log, 'utf8').slice(-3000)}`)
    }
    // Nothing tells from outside when it is.
    await sleep(100)
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}
