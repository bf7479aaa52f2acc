import { execFileSync } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { createServer, type Server, Socket } from 'node:net'
import { AF_INET, SOCK_DGRAM, SOCK_STREAM } from '../../lib/libc.ts'
import { socketInNetns } from '../../lib/netns.ts'
import { podRules } from './rules.ts'

/** A pod-like network namespace, joined to the bed's node by a veth. */
export interface Pod {
  readonly name: string
  readonly ip: string
  /** Namespace file. */
  readonly path: string
  readonly netns: number
}

let beds = 0

/** A node namespace with pods; everything is removed by `close`. */
export class Bed {
  readonly #id = `zt${process.pid.toString(36)}${(beds++).toString(36)}`
  readonly #pods: Pod[] = []
  readonly #open = new Set<Server | Socket>()

  constructor() {
    ip('netns', 'add', this.#node)
    inside(
      this.#node,
      'ip link set lo up && sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0',
    )
  }

  get #node(): string {
    return `${this.#id}-node`
  }

  /** @param enrolled load the in-pod rules of the release and the policy routing */
  pod(name: string, address: string, enrolled: boolean, release = 'today'): Pod {
    const namespace = `${this.#id}-${name}`
    ip('netns', 'add', namespace)
    const veth = `v${name}`.slice(0, 15)
    inside(
      this.#node,
      `ip link add ${veth} type veth peer name eth0 netns ${namespace} && ip addr add 169.254.1.1/32 dev ${veth} && ip link set ${veth} up && ip route add ${address}/32 dev ${veth}`,
    )
    inside(
      namespace,
      `ip link set lo up && ip link set eth0 up && ip addr add ${address}/32 dev eth0 && ip route add 169.254.1.1 dev eth0 scope link && ip route add default via 169.254.1.1`,
    )
    if (enrolled) {
      inside(namespace, 'ip route replace local 0.0.0.0/0 dev lo table 100 && ip rule add fwmark 0x111/0xfff pref 32764 lookup 100')
      execFileSync('ip', ['netns', 'exec', namespace, 'iptables-restore', '--noflush'], { input: podRules[release] })
    }
    const path = `/var/run/netns/${namespace}`
    const pod = { name, ip: address, path, netns: openSync(path, 'r') }
    this.#pods.push(pod)
    return pod
  }

  /** Runs a shell command in a pod's namespace and returns its output. */
  run(pod: Pod, command: string): string {
    return inside(pod.path.slice('/var/run/netns/'.length), command)
  }

  get wrap(): (pod: Pod, argv: readonly string[]) => [string, string[]] {
    return (pod, argv) => ['ip', ['netns', 'exec', pod.path.slice('/var/run/netns/'.length), ...argv]]
  }

  /** A TCP server in a pod. */
  async serve(pod: Pod, port: number, onConnection: (socket: Socket) => void): Promise<Server> {
    const fd = socketInNetns(pod.netns, AF_INET, SOCK_STREAM, { reuseAddress: true, bind: { address: '0.0.0.0', port } })
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      socket.on('error', () => {})
      this.#keep(socket)
      onConnection(socket)
    })
    this.#keep(server)
    await new Promise<void>((resolve) => server.listen({ fd }, resolve))
    return server
  }

  /** A TCP connection from a pod; not waited for. @param mark SO_MARK */
  dial(pod: Pod, address: string, port: number, mark?: number): Socket {
    const socket = new Socket({
      fd: socketInNetns(pod.netns, AF_INET, SOCK_STREAM, mark === undefined ? {} : { mark }),
      allowHalfOpen: true,
    })
    this.#keep(socket)
    return socket.connect({ host: address, port })
  }

  /** A bound UDP socket's descriptor in a pod. */
  udp(pod: Pod, port = 0): number {
    return socketInNetns(pod.netns, AF_INET, SOCK_DGRAM, { bind: { address: '0.0.0.0', port } })
  }

  #keep(what: Server | Socket): void {
    this.#open.add(what)
    what.once('close', () => this.#open.delete(what))
  }

  close(): void {
    for (const what of this.#open) 'destroy' in what ? what.destroy() : what.close()
    for (const pod of this.#pods) {
      closeSync(pod.netns)
      ip('netns', 'del', `${this.#id}-${pod.name}`)
    }
    ip('netns', 'del', this.#node)
  }
}

function ip(...args: string[]): void {
  execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'pipe'] })
}

function inside(namespace: string, command: string): string {
  return execFileSync('ip', ['netns', 'exec', namespace, 'sh', '-c', command], { encoding: 'utf8' })
}

/** Everything that the other side sent until it ended, after `send` was sent and our side ended. Rejects on an error. */
export function exchange(socket: Socket, send: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let got = ''
    socket.on('data', (chunk) => {
      got += chunk
    })
    socket.once('end', () => resolve(got))
    socket.once('error', reject)
    socket.end(send)
  })
}

/** An echo server's handler: says who it sees, then echoes, then ends after the client ended. */
export function echo(socket: Socket): void {
  socket.write(`${socket.remoteAddress?.replace('::ffff:', '')} `)
  socket.on('data', (chunk) => socket.write(chunk))
  socket.on('end', () => socket.end())
}
