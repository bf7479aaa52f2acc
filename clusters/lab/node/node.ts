import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, rmSync, unlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { ClusterNode, SpawnOptions } from '../../cluster.ts'
import { cgroupRoot, makeCgroup, removeCgroup } from './cgroup.ts'
import { command } from './command.ts'
import type { Fabric } from './fabric.ts'
import { clusterDns, writeNodeFiles } from './files.ts'
import { fstab } from './fstab.ts'
import { initScript } from './init-script.ts'
import { firstLines } from './lines.ts'
import { type Owned, ownedEnvironment } from './owned.ts'
import { pathInRoot } from './path-in-root.ts'
import { nodeFlags, nodeMounts, pinnedNode, repository } from './root.ts'

export interface NodeOptions {
  readonly name: string
  /** From 1, unique in the lab: node n has underlay address 172.30.0.(10+n) and pods in 10.244.n.0/24. */
  readonly index: number
  /** @default 172.30.0.(10+index) */
  readonly address?: string
  /** An existing directory of the run on the host; the node's own goes below it. */
  readonly directory: string
  readonly registry: Owned
  readonly fabric: Fabric
}

/** A node of the lab: a process tree with network, mounts, processes, host name and IPC of its own. */
export interface LabNode extends ClusterNode {
  readonly index: number
  /** Addresses of its pods, such as `10.244.1.0/24`. */
  readonly podCIDR: string
  /** Pid on the host of the node's process 1. */
  readonly initPid: number
  /** The node's network namespace, as the host sees it. */
  readonly netnsPath: string
  /** The node's `/`, as the host sees it; for paths with symbolic links use `hostPath`. */
  readonly root: string
  /** Directory of the node's cgroup; the same path on the host and on the node. */
  readonly cgroup: string
  /** Where a path of the node is for processes of the host. */
  hostPath(path: string): string
  /**
   * Runs a command on the node to its end.
   * @returns its standard output
   * @throws CommandError
   */
  run(argv: readonly string[], options?: SpawnOptions & { input?: string }): Promise<string>
  /** Ends every process of the node and removes what it is made of. Idempotent. */
  teardown(): Promise<void>
}

/** Makes a node and joins it to the fabric. Leaves nothing behind when it throws. */
export async function startNode(options: NodeOptions): Promise<LabNode> {
  const node = new NamespaceNode(options)
  try {
    await node.start()
    return node
  } catch (error) {
    await node.teardown()
    throw error
  }
}

class NamespaceNode implements LabNode {
  readonly name: string
  readonly index: number
  readonly address: string
  readonly podCIDR: string
  readonly cgroup: string
  private readonly registry: Owned
  private readonly fabric: Fabric
  private readonly directory: string
  /** The process on the host that waits for process 1 of the node. */
  private parent: ChildProcess | undefined
  private pid: number | undefined
  private ending: Promise<void> | undefined

  constructor({ name, index, address, directory, registry, fabric }: NodeOptions) {
    if (!/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(name)) throw new TypeError(`node name ${JSON.stringify(name)} is not a DNS label`)
    if (!Number.isInteger(index) || index < 1 || index > 200) throw new RangeError(`index of node ${name} is ${index}; use 1 to 200`)
    this.name = name
    this.index = index
    this.address = address ?? `172.30.0.${10 + index}`
    this.podCIDR = `10.244.${index}.0/24`
    this.registry = registry
    this.fabric = fabric
    this.directory = join(directory, name)
    this.cgroup = join(cgroupRoot(), `${registry.id}-${name}`)
  }

  get initPid(): number {
    if (this.pid === undefined) throw new Error(`node ${this.name} is not running`)
    return this.pid
  }

  get netnsPath(): string {
    return `/proc/${this.initPid}/ns/net`
  }

  get root(): string {
    return `/proc/${this.initPid}/root`
  }

  hostPath(path: string): string {
    return pathInRoot(this.root, path)
  }

  async start(): Promise<void> {
    this.registry.register({ kind: 'processes' })
    this.registry.register({ kind: 'cgroup', path: this.cgroup })
    this.registry.register({ kind: 'directory', path: this.directory })
    makeCgroup(this.cgroup)
    const { name, directory } = this
    mkdirSync(directory)
    mkdirSync(join(directory, 'mnt'))
    writeFileSync(join(directory, 'fstab'), fstab(nodeMounts(join(directory, 'mnt'))))
    const namespaces = ['--net', '--mount', '--pid', '--uts', '--ipc']
    this.parent = spawn('unshare', [...namespaces, '--fork', 'sh', '-c', initScript({ name, directory })], {
      env: ownedEnvironment(this.registry),
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let joined: Promise<unknown> = Promise.resolve()
    await firstLines(this.parent, ['pid', 'ready'], `node ${name}`, (line) => {
      if (!line.startsWith('pid ')) return
      this.pid = Number(line.slice('pid '.length))
      // Cables need the network namespace only, and that is there from the first line on.
      joined = this.fabric.join(this).then(
        () => undefined,
        (error) => error,
      )
    })
    const problem = await joined
    if (problem) throw problem
    writeNodeFiles(this.root, this)
    this.writeResolver()
  }

  private writeResolver(): void {
    const path = join(this.root, 'etc/resolv.conf')
    // The host's may be a link into its /run.
    try {
      unlinkSync(path)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    }
    writeFileSync(path, `nameserver ${clusterDns}\n`)
  }

  spawn(argv: readonly string[], { netns, env }: SpawnOptions = {}): ChildProcess {
    const [file = '', ...args] = this.enter(argv, netns)
    return spawn(file, args, { env: { ...ownedEnvironment(this.registry), ...env }, stdio: ['pipe', 'pipe', 'pipe'] })
  }

  runProgram(program: string, args: readonly string[]): ChildProcess {
    return this.spawn([pinnedNode, ...nodeFlags, join(repository, program), ...args])
  }

  run(argv: readonly string[], { netns, env, input }: SpawnOptions & { input?: string } = {}): Promise<string> {
    return command(this.enter(argv, netns), input, { ...ownedEnvironment(this.registry), ...env })
  }

  private enter(argv: readonly string[], netns?: string): string[] {
    const network = netns === undefined ? '-n' : `--net=${this.hostPath(netns)}`
    return ['nsenter', '-t', String(this.initPid), '-m', '-p', '-u', '-i', network, '--', ...argv]
  }

  teardown(): Promise<void> {
    this.ending ??= this.end()
    return this.ending
  }

  private async end(): Promise<void> {
    await this.fabric.leave(this)
    if (this.parent && this.parent.exitCode === null && this.parent.signalCode === null) {
      const gone = once(this.parent, 'exit')
      // The death of process 1 ends every process of the node; without a pid yet, its parent is all there is.
      process.kill(this.pid ?? (this.parent.pid as number), 'SIGKILL')
      await gone
    }
    await removeCgroup(this.cgroup)
    rmSync(this.directory, { recursive: true, force: true, maxRetries: 3 })
    try {
      this.registry.release({ kind: 'cgroup', path: this.cgroup })
      this.registry.release({ kind: 'directory', path: this.directory })
    } catch {
      // A registry that was torn down before has nothing to release.
    }
  }
}
