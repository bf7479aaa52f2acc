/** For tests only: network namespaces held by child processes that end with the test, links between them, and traffic in them. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { randomBytes, randomUUID } from 'node:crypto'
import { closeSync, mkdirSync, openSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { createServer, type Server, Socket } from 'node:net'
import { AF_INET, AF_INET6, IP_TRANSPARENT, SOCK_STREAM, SOL_IP } from '../../../images/lib/libc.ts'
import { socketInNetns } from '../../../images/lib/netns.ts'

/** The in-pod rules of today's release without DNS capture, as the agent feeds them to iptables-restore (in-pod fact sheet 1.2). */
export const inPodRules = `*mangle
-N ISTIO_PRERT
-N ISTIO_OUTPUT
-A PREROUTING -j ISTIO_PRERT
-A OUTPUT -j ISTIO_OUTPUT
-A ISTIO_OUTPUT -m connmark --mark 0x111/0xfff -j CONNMARK --restore-mark --nfmask 0xffffffff --ctmask 0xffffffff
-A ISTIO_PRERT -m mark --mark 0x539/0xfff -j CONNMARK --set-xmark 0x111/0xfff
COMMIT
*nat
-N ISTIO_PRERT
-N ISTIO_OUTPUT
-A PREROUTING -j ISTIO_PRERT
-A OUTPUT -j ISTIO_OUTPUT
-A ISTIO_OUTPUT -d 169.254.7.127/32 -p tcp -m tcp -j ACCEPT
-A ISTIO_OUTPUT -p tcp -m mark --mark 0x111/0xfff -j ACCEPT
-A ISTIO_OUTPUT ! -d 127.0.0.1/32 -o lo -j ACCEPT
-A ISTIO_OUTPUT ! -d 127.0.0.1/32 -p tcp -m mark ! --mark 0x539/0xfff -j REDIRECT --to-ports 15001
-A ISTIO_PRERT -s 169.254.7.127/32 -p tcp -m tcp -j ACCEPT
-A ISTIO_PRERT ! -d 127.0.0.1/32 -p tcp -m tcp ! --dport 15008 -m mark ! --mark 0x539/0xfff -j REDIRECT --to-ports 15006
COMMIT
`

/** A network namespace with lo up. Its holder reads our pipe, so it ends when the test's process does, however that ends. */
export class TestNetns implements Disposable {
  readonly pid: number
  readonly path: string
  readonly fd: number
  readonly #holder: ChildProcess
  readonly #sockets: (Server | Socket)[] = []

  private constructor(holder: ChildProcess) {
    this.#holder = holder
    this.pid = holder.pid!
    this.path = `/proc/${this.pid}/ns/net`
    this.fd = openSync(this.path, 'r')
  }

  static async create(): Promise<TestNetns> {
    const holder = spawn('unshare', ['-n', 'sh', '-ec', 'ip link set lo up; echo ready; exec cat >/dev/null'], {
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    await new Promise((resolve, reject) => {
      holder.stdout!.once('data', resolve)
      holder.once('exit', (code) => reject(new Error(`unshare: exit code ${code}`)))
    })
    return new TestNetns(holder)
  }

  /** Runs a shell script in the namespace. @returns its stdout */
  sh(script: string, input = ''): string {
    return execFileSync('nsenter', [`--net=${this.path}`, 'sh', '-ec', script], { input, stdio: ['pipe', 'pipe', 'pipe'] }).toString()
  }

  /** Joins two namespaces by a veth pair, /24 addresses on both ends. */
  join(dev: string, address: string, other: TestNetns, otherDev: string, otherAddress: string): void {
    this.sh(
      `ip link add ${dev} type veth peer name ${otherDev} netns ${other.pid}; ip addr add ${address}/24 dev ${dev}; ip link set ${dev} up`,
    )
    other.sh(`ip addr add ${otherAddress}/24 dev ${otherDev}; ip link set ${otherDev} up`)
  }

  /** A TCP server in the namespace; each connection goes to `onConnection`. */
  async listen(address: string, port: number, onConnection: (socket: Socket) => void, mark?: number): Promise<Server> {
    const fd = socketInNetns(this.fd, address.includes(':') ? AF_INET6 : AF_INET, SOCK_STREAM, {
      ...(mark === undefined ? {} : { mark }),
      reuseAddress: true,
      bind: { address, port },
    })
    const server = createServer(onConnection)
    this.#sockets.push(server)
    await new Promise<void>((resolve) => server.listen({ fd }, resolve))
    return server
  }

  /** A TCP connection from the namespace. `from`: bound to this foreign address (IP_TRANSPARENT). */
  async connect(address: string, port: number, { mark, from }: { mark?: number; from?: string } = {}): Promise<Socket> {
    const fd = socketInNetns(this.fd, address.includes(':') ? AF_INET6 : AF_INET, SOCK_STREAM, {
      ...(mark === undefined ? {} : { mark }),
      ...(from === undefined ? {} : { options: [[SOL_IP, IP_TRANSPARENT, 1]], bind: { address: from, port: 0 } }),
    })
    const socket = new Socket({ fd })
    this.#sockets.push(socket)
    await new Promise<void>((resolve, reject) => {
      socket.once('error', reject)
      socket.connect(port, address, () => {
        socket.off('error', reject)
        resolve()
      })
    })
    return socket
  }

  /** Safe to call twice. */
  [Symbol.dispose](): void {
    if (this.#holder.killed) return
    for (const socket of this.#sockets) 'destroy' in socket ? socket.destroy() : socket.close()
    closeSync(this.fd)
    this.#holder.kill('SIGKILL')
  }
}

/** Makes the process look like a pod's: its cgroup names the uid, as under the kubelet's cgroupfs driver. */
export class TestCgroup implements Disposable {
  readonly uid = randomUUID()
  readonly #root =
    `/sys/fs/cgroup/${readFileSync('/proc/mounts', 'utf8').includes(' /sys/fs/cgroup/unified ') ? 'unified/' : ''}everyhop-test-${randomBytes(4).toString('hex')}`
  readonly #path: string

  constructor(pid: number, folder = (uid: string) => `pod${uid}`) {
    this.#path = `${this.#root}/${folder(this.uid)}`
    mkdirSync(this.#path, { recursive: true })
    writeFileSync(`${this.#path}/cgroup.procs`, String(pid))
  }

  [Symbol.dispose](): void {
    // The killed holder leaves its cgroup a moment later.
    for (let attempt = 0; ; attempt++) {
      try {
        rmdirSync(this.#path)
        rmdirSync(this.#root)
        return
      } catch (error) {
        if (attempt === 200) throw error
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10)
      }
    }
  }
}
