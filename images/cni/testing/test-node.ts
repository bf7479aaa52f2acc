import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { type FakeApi, fakeApi } from './fake-api.ts'
import { FakeZtunnel } from './fake-ztunnel.ts'
import { type TestNamespace, testNamespace } from './namespace.ts'

export const agentMain = fileURLToPath(new URL('../agent/main.ts', import.meta.url))
export const golden = (name: string) => readFileSync(new URL(`../fixtures/inpod/${name}`, import.meta.url), 'utf8')

/** The golden conflist before our plugin was chained. */
export function primaryConflist(): string {
  const conf = JSON.parse(golden('node-conflist.json'))
  return JSON.stringify({ ...conf, plugins: conf.plugins.filter((p: { type: string }) => p.type !== 'istio-cni') })
}

/** The agent as a process, and its log. */
export interface RunningAgent {
  readonly lines: string[]
  /** The first line that matches, now or later; rejects when the agent ends without it. */
  line(re: RegExp): Promise<string>
  /** SIGTERM; the exit code. */
  stop(): Promise<number | null>
}

/** One node for the agent under test: a namespace as the node's, one as a pod's, host paths in a temporary directory, an API server. */
export class TestNode {
  readonly dir: string
  readonly api: FakeApi
  readonly net: TestNamespace
  readonly pod: TestNamespace
  readonly #children: ChildProcess[] = []
  readonly #ztunnels: FakeZtunnel[] = []

  private constructor(dir: string, api: FakeApi, net: TestNamespace, pod: TestNamespace) {
    this.dir = dir
    this.api = api
    this.net = net
    this.pod = pod
  }

  /** @param namespaces the node's and the pod's, when they are there already */
  static async create(namespaces?: { readonly net: TestNamespace; readonly pod: TestNamespace }): Promise<TestNode> {
    const dir = mkdtempSync(join(tmpdir(), 'everyhop-agent-'))
    const made = namespaces
      ? Promise.resolve(namespaces)
      : Promise.all([testNamespace(), testNamespace()]).then(([net, pod]) => ({ net, pod }))
    const [api, { net, pod }] = await Promise.all([fakeApi(dir), made])
    mkdirSync(join(dir, 'proc/1/ns'), { recursive: true })
    symlinkSync(`/proc/${net.pid}/ns/net`, join(dir, 'proc/1/ns/net'))
    mkdirSync(join(dir, 'host/var/run/netns'), { recursive: true })
    symlinkSync(`/proc/${pod.pid}/ns/net`, join(dir, 'host/var/run/netns/cni-1'))
    mkdirSync(join(dir, 'net.d'))
    writeFileSync(join(dir, 'net.d/10-everyhop.conflist'), primaryConflist())
    return new TestNode(dir, api, net, pod)
  }

  path(...parts: string[]): string {
    return join(this.dir, ...parts)
  }

  /** Starts the agent and waits until it is ready. @param env settings besides the usual ones */
  async agent(env: Readonly<Record<string, string>> = {}): Promise<RunningAgent> {
    const child = spawn(process.execPath, [agentMain], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: {
        PATH: process.env.PATH,
        NODE_NAME: 'node-1',
        POD_NAMESPACE: 'istio-system',
        KUBERNETES_SERVICE_HOST: '127.0.0.1',
        KUBERNETES_SERVICE_PORT: String(this.api.port),
        SERVICE_ACCOUNT_DIR: this.api.serviceAccountDir,
        MOUNTED_CNI_NET_DIR: this.path('net.d'),
        MOUNTED_CNI_BIN_DIR: this.path('bin'),
        CNI_AGENT_RUN_DIR: this.path('run'),
        ZDS_SERVER_SOCKET: this.path('z/ztunnel.sock'),
        HOST_PROC: this.path('proc'),
        HOST_ROOT: this.path('host'),
        HEALTH_PORT: '0',
        MONITORING_PORT: '0',
        LOG_LEVEL: 'debug',
        ...env,
      },
    })
    this.#children.push(child)
    const lines: string[] = []
    const looks = new Set<() => void>()
    createInterface(child.stdout!).on('line', (l) => {
      lines.push(l)
      for (const look of looks) look()
    })
    const exited = new Promise<number | null>((resolve) => child.once('exit', resolve))
    const agent: RunningAgent = {
      lines,
      line: (re) =>
        new Promise((resolve, reject) => {
          const look = () => {
            const found = lines.find((l) => re.test(l))
            if (found === undefined) return
            looks.delete(look)
            resolve(found)
          }
          looks.add(look)
          look()
          void exited.then((code) => reject(new Error(`agent exited with ${code}:\n${lines.join('\n')}`)))
        }),
      stop: () => {
        child.kill('SIGTERM')
        return exited
      },
    }
    await agent.line(/ambient agent is ready/)
    return agent
  }

  /** A proxy that connects to the agent. */
  ztunnel(): FakeZtunnel {
    const z = new FakeZtunnel(this.path('z/ztunnel.sock'))
    this.#ztunnels.push(z)
    return z
  }

  /** Makes a process of that pod appear in the node's /proc. */
  runPod(uid: string, namespace = this.pod, pid = 4242): void {
    const proc = this.path('proc', String(pid))
    mkdirSync(join(proc, 'ns'), { recursive: true })
    symlinkSync(`/proc/${namespace.pid}/ns/net`, join(proc, 'ns/net'))
    writeFileSync(join(proc, 'cgroup'), `0::/kubepods/besteffort/pod${uid}/abc\n`)
    writeFileSync(join(proc, 'stat'), `${pid} (a b) S ${'0 '.repeat(18)}100 0\n`)
  }

  /** Calls the installed plugin as a container runtime does at a pod's start. */
  async cniAdd(namespace: string, name: string, prevResult: object): Promise<{ code: number | null; result: Record<string, unknown> }> {
    const child = spawn(this.path('bin/istio-cni'), {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: {
        PATH: process.env.PATH,
        CNI_COMMAND: 'ADD',
        CNI_CONTAINERID: 'abc',
        CNI_NETNS: '/var/run/netns/cni-1',
        CNI_IFNAME: 'eth0',
        CNI_PATH: '/opt/cni/bin',
        CNI_ARGS: `IgnoreUnknown=1;K8S_POD_NAMESPACE=${namespace};K8S_POD_NAME=${name}`,
      },
    })
    const list = JSON.parse(readFileSync(this.path('net.d/10-everyhop.conflist'), 'utf8'))
    child.stdin.end(JSON.stringify({ ...list.plugins.at(-1), cniVersion: list.cniVersion, name: list.name, prevResult }))
    let stdout = ''
    child.stdout.on('data', (d) => {
      stdout += d
    })
    const code = await new Promise<number | null>((resolve) => child.once('close', resolve))
    return { code, result: JSON.parse(stdout) }
  }

  async close(): Promise<void> {
    for (const z of this.#ztunnels) z.socket.close()
    await Promise.all(
      this.#children.map((child) => {
        if (child.exitCode !== null) return undefined
        const gone = new Promise((resolve) => child.once('exit', resolve))
        child.kill('SIGKILL')
        return gone
      }),
    )
    await Promise.all([this.api.close(), this.net.close(), this.pod.close()])
    rmSync(this.dir, { recursive: true })
  }
}
