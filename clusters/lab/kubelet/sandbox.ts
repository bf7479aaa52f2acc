import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes, randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { join } from 'node:path'
import { cgroupMembers, makeCgroup, removeCgroup } from '../node/cgroup.ts'
import { quote } from '../node/init-script.ts'
import { firstLines } from '../node/lines.ts'
import type { LabNode } from '../node/node.ts'
import { type Owned, ownedEnvironment } from '../node/owned.ts'
import { addNetwork, deleteNetwork, type NetworkList, type NetworkSandbox, readNetwork } from './cni.ts'
import type { PluginResult } from './cni-plugin.ts'
import type { Pod } from './pod.ts'

/** 64 hex digits, as container runtimes name containers. */
export function newContainerId(): string {
  return randomBytes(32).toString('hex')
}

/** The cgroup of a pod on its node, as the kubelet's cgroupfs driver names it. */
export function podCgroup(node: LabNode, uid: string): string {
  return join(node.cgroup, 'kubepods', 'besteffort', `pod${uid}`)
}

/**
 * What a pod's containers share: a process that holds network, host name and IPC namespaces (the "pause" process), its cgroup, and the
 * network interface that the CNI plugins made.
 */
export class Sandbox {
  readonly id = newContainerId()
  /** Pid on the host of the pause process. */
  pid = 0
  /** Addresses of the pod; empty for one on the host network. */
  addresses: readonly string[] = []
  private readonly node: LabNode
  private readonly pod: Pod
  private readonly cgroup: string
  private readonly netns: string | undefined
  private pause: ChildProcess | undefined
  private network: NetworkList | undefined
  private result: PluginResult | undefined

  private constructor(node: LabNode, pod: Pod) {
    this.node = node
    this.pod = pod
    this.cgroup = join(podCgroup(node, pod.metadata.uid), this.id)
    if (!pod.spec.hostNetwork) this.netns = `/var/run/netns/cni-${randomUUID()}`
  }

  /** Makes the sandbox and runs ADD. After a failure everything that was made is gone again, DEL included. */
  static async create(node: LabNode, owned: Owned, pod: Pod): Promise<Sandbox> {
    const sandbox = new Sandbox(node, pod)
    try {
      await sandbox.start(owned)
      return sandbox
    } catch (error) {
      await sandbox.remove().catch(() => {})
      throw error
    }
  }

  private async start(owned: Owned): Promise<void> {
    makeCgroup(this.cgroup)
    const join = `set -e; echo 0 > ${quote(`${this.cgroup}/cgroup.procs`)}`
    const hold = 'echo ready; exec sleep infinity < /dev/null > /dev/null 2>&1'
    const file = this.netns && quote(this.netns)
    // A namespace has its IPv4 settings from the kernel's first one, which a real node's is: there packets are forwarded.
    const own = `set -e
: > ${file}
mount --bind /proc/self/ns/net ${file}
echo ${quote(hostName(this.pod))} > /proc/sys/kernel/hostname
echo 0 > /proc/sys/net/ipv4/ip_unprivileged_port_start
echo 1 > /proc/sys/net/ipv4/ip_forward
ip link set lo up
${hold}`
    const script = this.netns ? `${join}; exec unshare --net --uts --ipc sh -c ${quote(own)}` : `${join}; ${hold}`
    const shared = this.netns ? [] : ['-n', '-u', '-i']
    this.pause = spawn('nsenter', ['-t', String(this.node.initPid), '-m', '-p', ...shared, '--', 'sh', '-c', script], {
      env: ownedEnvironment(owned),
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    await firstLines(this.pause, ['ready'], `sandbox of pod ${this.pod.metadata.namespace}/${this.pod.metadata.name}`)
    this.pid = cgroupMembers(this.cgroup)[0] ?? 0
    if (this.pid === 0) throw new Error(`the pause process of ${this.id} is not in its cgroup ${this.cgroup}`)
    if (!this.netns) return
    try {
      this.network = readNetwork(this.node)
      this.result = await addNetwork(this.node, this.network, this.forPlugins(this.netns))
    } catch (error) {
      throw new Error(`failed to setup network for sandbox ${JSON.stringify(this.id)}: ${(error as Error).message}`)
    }
    this.addresses = (this.result.ips ?? []).map(({ address }) => address.split('/')[0] as string)
    if (this.addresses.length === 0) throw new Error(`the plugins of network ${this.network.name} gave pod sandbox ${this.id} no address`)
  }

  /**
   * Runs DEL with the network of now (with that of ADD, if there is none now), then lets everything go. May be repeated after a failure.
   * @throws the failure of a plugin, after the others were called; nothing is removed then
   */
  async remove(): Promise<void> {
    if (this.netns && this.network) await this.removeNetwork(this.netns, this.network)
    await this.discard()
  }

  /** Removes the sandbox without asking the plugins. Idempotent. */
  async discard(): Promise<void> {
    this.network = undefined
    const pause = this.pause
    const gone = pause && pause.exitCode === null && pause.signalCode === null ? once(pause, 'exit') : undefined
    await removeCgroup(this.cgroup)
    await gone
    if (!this.netns) return
    const file = quote(this.netns)
    await this.node.run(['sh', '-c', `umount -l ${file} 2>/dev/null; rm -f ${file}`]).catch(() => {})
  }

  private async removeNetwork(netns: string, former: NetworkList): Promise<void> {
    let network = former
    try {
      network = readNetwork(this.node)
    } catch {
      // Whoever took the configuration away must not keep pods from ending.
    }
    await deleteNetwork(this.node, network, this.forPlugins(netns), this.result)
    this.network = undefined
  }

  private forPlugins(netns: string): NetworkSandbox {
    return { id: this.id, netns, pod: this.pod.metadata }
  }
}

/** The pod's host name: its own wish, else its name, cut to what the kernel and DNS allow. */
export function hostName(pod: Pod): string {
  return pod.spec.hostname ?? pod.metadata.name.slice(0, 63).replace(/[-.]+$/, '')
}
