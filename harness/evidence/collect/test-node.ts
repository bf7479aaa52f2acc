/** For tests only: a node with two pods, and a real collector process in the node's namespace. */
import { execFileSync, spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { CollectorSession } from '../session.ts'
import { TestCgroup, TestNetns } from './testbed.ts'

/** `client` (10.244.1.5) and `server` (10.244.1.6), joined by their eth0. */
export class TestNode implements AsyncDisposable {
  readonly bundle = mkdtempSync(join(tmpdir(), 'everyhop-node-'))
  readonly netns: TestNetns
  readonly client: TestNetns
  readonly server: TestNetns
  readonly pods: readonly [TestPod, TestPod]
  readonly #cgroups: TestCgroup[]
  session: CollectorSession
  collectorPid = 0

  private constructor(netns: TestNetns, client: TestNetns, server: TestNetns) {
    this.netns = netns
    this.client = client
    this.server = server
    client.join('eth0', '10.244.1.5', server, 'eth0', '10.244.1.6')
    this.#cgroups = [client, server].map(({ pid }) => new TestCgroup(pid))
    const [a, b] = this.#cgroups
    this.pods = [
      { namespace: 'demo', name: 'client', uid: a!.uid },
      { namespace: 'demo', name: 'server', uid: b!.uid },
    ]
    this.session = this.start()
  }

  static async create(): Promise<TestNode> {
    return new TestNode(await TestNetns.create(), await TestNetns.create(), await TestNetns.create())
  }

  /** One more collector on the node; it becomes `session`. */
  start(): CollectorSession {
    const runProgram = (program: string, args: readonly string[]) => {
      const child = spawn('nsenter', [`--net=${this.netns.path}`, process.execPath, resolve(program), ...args])
      this.collectorPid = child.pid!
      return child
    }
    this.session = new CollectorSession({ name: 'n1', runProgram }, this.bundle)
    return this.session
  }

  /** Lines of one of the node's evidence files. */
  lines<T>(file: string): T[] {
    return readFileSync(join(this.bundle, 'evidence/n1', `${file}.jsonl`), 'utf8')
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as T)
  }

  /** A line of fields for each captured packet. */
  tshark(...fields: string[]): string[][] {
    const file = join(this.bundle, 'evidence/n1/packets.pcapng')
    const args = ['-r', file, '-T', 'fields', '-E', 'separator=|', ...fields.flatMap((field) => ['-e', field])]
    const text = execFileSync('tshark', args, { stdio: ['ignore', 'pipe', 'pipe'] }).toString()
    return text
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => line.split('|'))
  }

  /** The client says something to the server's port 8080 and waits for the end. @returns the client's port */
  async exchange(body = 'ping'): Promise<number> {
    const socket = await this.client.connect('10.244.1.6', 8080)
    const port = socket.localPort!
    const closed = new Promise((done) => socket.on('close', done))
    socket.resume()
    socket.write(body)
    await closed
    return port
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.session.stop()
    for (const netns of [this.netns, this.client, this.server]) netns[Symbol.dispose]()
    for (const cgroup of this.#cgroups) cgroup[Symbol.dispose]()
    rmSync(this.bundle, { recursive: true })
  }
}

interface TestPod {
  readonly namespace: string
  readonly name: string
  readonly uid: string
}
