import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { command } from './command.ts'
import { firstLines } from './lines.ts'
import { type Owned, ownedEnvironment } from './owned.ts'

/** Underlay network of a lab: the fabric is .1, nodes come after it. */
export const fabricAddress = '172.30.0.1'
const prefixLength = 24

/** A node as the underlay knows it. */
export interface Member {
  readonly name: string
  /** Small number, unique in the fabric; names the fabric's side of the cable. */
  readonly index: number
  /** Pid on the host of a process in the node's network namespace. */
  readonly initPid: number
  readonly address: string
  readonly podCIDR: string
}

/** The network between the nodes: a bridge in a namespace of its own, so that nothing of a lab is in the host's. */
export interface Fabric {
  /** Pid of the process that holds the namespace. */
  readonly pid: number
  readonly netnsPath: string
  /** Gives the node `eth0` on the bridge, its address, a default route, and routes to and from the pods of the nodes that are there already. */
  join(member: Member): Promise<void>
  /** Takes the node's cable and everybody's routes to it away. Nothing there is no error. */
  leave(member: Pick<Member, 'index'>): Promise<void>
  /** Idempotent. */
  teardown(): Promise<void>
}

const script = `set -e
ip -batch - <<X
link set lo up
link add fabric type bridge stp_state 0 forward_delay 0 mcast_snooping 0
addr add ${fabricAddress}/${prefixLength} dev fabric
link set fabric up
X
echo 1 > /proc/sys/net/ipv4/ip_forward
echo ready
exec sleep infinity < /dev/null > /dev/null 2>&1
`

/** @param registry where the run writes down what it owns */
export async function startFabric(options: { registry: Owned }): Promise<Fabric> {
  const env = ownedEnvironment(options.registry)
  options.registry.register({ kind: 'processes' })
  const holder = spawn('unshare', ['--net', 'sh', '-c', script], { env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] })
  await firstLines(holder, ['ready'], 'the fabric')
  return new BridgeFabric(holder)
}

class BridgeFabric implements Fabric {
  readonly pid: number
  private readonly holder: ChildProcess
  private readonly members: Member[] = []
  private queue: Promise<unknown> = Promise.resolve()

  constructor(holder: ChildProcess) {
    this.holder = holder
    this.pid = holder.pid as number
  }

  get netnsPath(): string {
    return `/proc/${this.pid}/ns/net`
  }

  join(member: Member): Promise<void> {
    return this.inTurn(async () => {
      const cable = `node${member.index}`
      await ip(this.pid, [
        `link add ${cable} type veth peer name eth0 netns ${member.initPid}`,
        `link set ${cable} master fabric up`,
        `route replace ${member.podCIDR} via ${member.address}`,
      ])
      await ip(member.initPid, [
        `addr add ${member.address}/${prefixLength} dev eth0`,
        'link set eth0 up',
        `route replace default via ${fabricAddress}`,
        ...this.members.map((other) => `route replace ${other.podCIDR} via ${other.address}`),
      ])
      await Promise.all(this.members.map((other) => ip(other.initPid, [`route replace ${member.podCIDR} via ${member.address}`])))
      this.members.push(member)
    })
  }

  leave({ index }: Pick<Member, 'index'>): Promise<void> {
    return this.inTurn(async () => {
      const at = this.members.findIndex((member) => member.index === index)
      if (at < 0 || this.holder.exitCode !== null || this.holder.signalCode !== null) return
      const [gone] = this.members.splice(at, 1) as [Member]
      // The node may be dead already, and its cable with it.
      const quietly = (pid: number, line: string) => ip(pid, [line], ['-force']).catch(() => {})
      await quietly(this.pid, `link del node${index}`)
      await Promise.all(this.members.map((other) => quietly(other.initPid, `route del ${gone.podCIDR} via ${gone.address}`)))
    })
  }

  async teardown(): Promise<void> {
    if (this.holder.exitCode !== null || this.holder.signalCode !== null) return
    const gone = once(this.holder, 'exit')
    this.holder.kill('SIGKILL')
    await gone
  }

  /** One after the other: a route to a neighbour needs the neighbour's `eth0`. */
  private inTurn<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.queue.then(work)
    this.queue = mine.catch(() => {})
    return mine
  }
}

/** Runs lines of ip-batch in the network namespace of a process of the host. */
function ip(pid: number, lines: readonly string[], flags: readonly string[] = []): Promise<string> {
  return command(['nsenter', `--net=/proc/${pid}/ns/net`, 'ip', ...flags, '-batch', '-'], `${lines.join('\n')}\n`)
}
