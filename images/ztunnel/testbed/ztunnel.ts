import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { type CaFiles, generateCa } from '../../lib/ca.ts'
import { listenSeqpacket, type SeqpacketSocket } from '../../lib/seqpacket.ts'
import { decodeHello, decodeResponse, encodeRequest, maxMessage, type WorkloadRequest } from '../../lib/zds.ts'
import type { Bed, Pod } from './network.ts'

const main = join(import.meta.dirname, '..', 'main.ts')

/** The privileges that the DaemonSet gives: root's user, and three capabilities only. */
const asInPod = [
  'setpriv',
  '--regid=1337',
  '--clear-groups',
  '--bounding-set=-all,+net_admin,+sys_admin,+net_raw',
  '--inh-caps=-all',
  '--no-new-privs',
]

/** The agent's side of ZDS, one stream. */
export class Agent {
  readonly #socket: SeqpacketSocket
  readonly hello: Promise<number>
  readonly ended = Promise.withResolvers<void>()
  readonly #acks: ((ack: string | undefined) => void)[] = []

  constructor(socket: SeqpacketSocket) {
    this.#socket = socket
    const hello = Promise.withResolvers<number>()
    this.hello = hello.promise
    let first = true
    socket.start(
      ({ data }) => {
        if (first) hello.resolve(decodeHello(data).version)
        else this.#acks.shift()?.(decodeResponse(data).ack.error)
        first = false
      },
      () => this.ended.resolve(),
    )
  }

  /** Sends one message; resolves with the acknowledgement's error, undefined for success. */
  send(message: WorkloadRequest, fds: readonly number[] = []): Promise<string | undefined> {
    return this.sendRaw(encodeRequest(message), fds)
  }

  sendRaw(packet: Buffer, fds: readonly number[] = []): Promise<string | undefined> {
    const ack = new Promise<string | undefined>((resolve) => this.#acks.push(resolve))
    this.#socket.send(packet, fds)
    return ack
  }

  add(pod: Pod, serviceAccount: string): Promise<string | undefined> {
    return this.send({ add: { uid: `uid-${pod.name}`, workloadInfo: { name: pod.name, namespace: 'demo', serviceAccount } } }, [pod.netns])
  }

  /** As agents of releases that say no more than the UID. */
  addByUid(pod: Pod): Promise<string | undefined> {
    return this.send({ add: { uid: `uid-${pod.name}` } }, [pod.netns])
  }

  close(): void {
    this.#socket.close()
  }
}

/** The real ztunnel process in a namespace of its own, with a fake agent, a local state file as the kubelet projects it, and a CA. */
export class Ztunnel {
  readonly dir = mkdtempSync(join(tmpdir(), 'everyhop-ztunnel-'))
  readonly lines: string[] = []
  readonly #waiting = new Set<() => void>()
  readonly #agents: Agent[] = []
  #child: ChildProcess | undefined
  #listener: { close(): void } | undefined
  #versions = 0
  ca!: CaFiles

  /** Runs the process in a pod's namespace, or in that of a process; neither: in this one. */
  async start(
    state: string,
    options: { bed?: Bed; pod?: Pod; netnsOf?: number; env?: Record<string, string>; ca?: CaFiles } = {},
  ): Promise<void> {
    this.ca = options.ca ?? (await generateCa())
    mkdirSync(join(this.dir, 'ca'))
    for (const [name, pem] of Object.entries(this.ca)) writeFileSync(join(this.dir, 'ca', name), pem)
    this.writeState(state)
    this.#listener = listenSeqpacket(this.socketPath, maxMessage, (socket) => {
      this.#agents.push(new Agent(socket))
      this.#wake()
    })
    const command = [...asInPod, process.execPath, main]
    const entered = options.netnsOf === undefined ? command : ['nsenter', `--net=/proc/${options.netnsOf}/ns/net`, ...command]
    const [file, args] = options.bed && options.pod ? options.bed.wrap(options.pod, entered) : [entered[0]!, entered.slice(1)]
    const child = spawn(file, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        PATH: process.env.PATH,
        LOCAL_XDS_PATH: join(this.dir, 'state', 'local.yaml'),
        LOCAL_CA_DIR: join(this.dir, 'ca'),
        INPOD_UDS: this.socketPath,
        NODE_NAME: 'node-1',
        POD_NAME: 'ztunnel-1',
        POD_NAMESPACE: 'istio-system',
        SERVICE_ACCOUNT: 'ztunnel',
        ...options.env,
      },
    })
    this.#child = child
    for (const stream of [child.stdout, child.stderr]) {
      createInterface({ input: stream! }).on('line', (line) => {
        this.lines.push(line)
        this.#wake()
      })
    }
  }

  get socketPath(): string {
    return join(this.dir, 'zds.sock')
  }

  /** Replaces the state file through a `..data` link, as the kubelet does. */
  writeState(yaml: string): void {
    const directory = join(this.dir, 'state')
    const version = `..${this.#versions++}`
    mkdirSync(join(directory, version), { recursive: true })
    writeFileSync(join(directory, version, 'local.yaml'), yaml)
    symlinkSync(version, join(directory, '..data_tmp'))
    renameSync(join(directory, '..data_tmp'), join(directory, '..data'))
    if (this.#versions === 1) symlinkSync(join('..data', 'local.yaml'), join(directory, 'local.yaml'))
  }

  /** The n-th stream that ztunnel opened, from 0. */
  async agent(n = 0): Promise<Agent> {
    await this.until(() => this.#agents[n] !== undefined, `stream ${n}`)
    return this.#agents[n]!
  }

  /** Waits until a log line matches, from line `from` on. */
  async line(pattern: RegExp, from = 0): Promise<string> {
    let found: string | undefined
    await this.until(() => {
      found = this.lines.slice(from).find((l) => pattern.test(l))
      return found !== undefined
    }, String(pattern))
    return found!
  }

  async until(condition: () => boolean, what: string): Promise<void> {
    const deadline = Date.now() + 12_000
    while (!condition()) {
      const { promise, resolve } = Promise.withResolvers<void>()
      this.#waiting.add(resolve)
      const timer = setTimeout(resolve, deadline - Date.now())
      await promise
      clearTimeout(timer)
      this.#waiting.delete(resolve)
      if (Date.now() >= deadline && !condition()) throw new Error(`timed out waiting for ${what}; log:\n${this.lines.join('\n')}`)
    }
  }

  #wake(): void {
    for (const resolve of [...this.#waiting]) resolve()
  }

  /** Of the process itself: those that start it replace themselves by it. */
  get pid(): number {
    return this.#child!.pid!
  }

  signal(name: NodeJS.Signals): void {
    this.#child?.kill(name)
  }

  get exited(): Promise<number | null> {
    const child = this.#child!
    if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve(child.exitCode)
    return new Promise((resolve) => child.once('exit', resolve))
  }

  async close(): Promise<void> {
    if (this.#child) {
      this.#child.kill('SIGKILL')
      await this.exited
    }
    for (const agent of this.#agents) agent.close()
    this.#listener?.close()
    rmSync(this.dir, { recursive: true, force: true })
  }
}
