import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { cgroupMembers, makeCgroup, removeCgroup } from '../node/cgroup.ts'
import type { LabNode } from '../node/node.ts'
import { closedDirectories, sourceDirectories, stageDirectory } from '../node/root.ts'
import { containerScripts, nodeRoot, type VolumeMount } from './container-script.ts'
import { LogFile } from './log-file.ts'
import type { Pod } from './pod.ts'
import { newContainerId, podCgroup, type Sandbox } from './sandbox.ts'
import { type Security, setpriv } from './security.ts'

export interface ContainerOptions {
  readonly node: LabNode
  readonly sandbox: Sandbox
  readonly pod: Pod
  readonly name: string
  readonly argv: readonly string[]
  readonly env: Readonly<Record<string, string>>
  readonly volumes: readonly VolumeMount[]
  readonly security: Security
  readonly workingDirectory: string
  /** Files of the container's /etc: name to text. */
  readonly etc: Readonly<Record<string, string>>
  /** How often it was started before. */
  readonly attempt: number
}

/** How a container ended; a signal n counts as exit code 128 + n. */
export interface ContainerExit {
  readonly exitCode: number
  readonly signal?: number
}

/** A process tree with file system and process ids of its own, in the namespaces of its pod. */
export class RunningContainer {
  readonly id = newContainerId()
  /** Resolves when its process 1 is gone. */
  readonly exited: Promise<ContainerExit>
  private readonly options: ContainerOptions
  private readonly cgroup: string
  private readonly child: ChildProcess
  private readonly log: LogFile

  /** Starts the container. @throws Error when it could not be made; nothing of it is left then */
  static async start(options: ContainerOptions): Promise<RunningContainer> {
    const container = new RunningContainer(options)
    const problem = await firstWord(container.child)
    if (problem === undefined) return container
    await container.kill('SIGKILL')
    await container.remove()
    throw new Error(`container ${options.name} could not be started: ${problem}`)
  }

  private constructor(options: ContainerOptions) {
    const { node, sandbox, pod } = options
    this.options = options
    this.cgroup = join(podCgroup(node, pod.metadata.uid), this.id)
    makeCgroup(this.cgroup)
    this.writeStage()
    const namespaces = ['net', 'uts', 'ipc'].map((name) => `--${name}=/proc/${sandbox.pid}/ns/${name}`)
    const start = ['/bin/sh', `${stageDirectory}/${this.id}/start`, ...setpriv(options.security), ...options.argv]
    this.child = spawn('/usr/bin/nsenter', ['-t', String(node.initPid), '-m', '-p', ...namespaces, '--', ...start], {
      env: options.env,
      stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
    })
    this.log = new LogFile(node, pod.metadata, options.name, this.id, options.attempt)
    this.log.follow(this.child.stdout as Readable, 'stdout')
    this.log.follow(this.child.stderr as Readable, 'stderr')
    this.exited = new Promise((resolve) => {
      this.child.once('error', () => resolve({ exitCode: 128 }))
      this.child.once('exit', (code, signal) => resolve(exitOf(code, signal)))
    })
  }

  private get stage(): string {
    return join(this.options.node.root, stageDirectory, this.id)
  }

  private writeStage(): void {
    const { volumes, security, workingDirectory, etc } = this.options
    const scripts = containerScripts({
      id: this.id,
      cgroup: this.cgroup,
      volumes,
      shared: sourceDirectories(),
      closed: closedDirectories(sourceDirectories()),
      readOnlyRoot: security.readOnlyRoot,
      workingDirectory,
    })
    for (const path of ['work', 'root', 'upper/etc', `upper${nodeRoot}`]) mkdirSync(join(this.stage, path), { recursive: true })
    for (const [name, text] of Object.entries(etc)) writeFileSync(join(this.stage, 'upper/etc', name), text)
    writeFileSync(join(this.stage, 'start'), scripts.start)
    writeFileSync(join(this.stage, 'enter'), scripts.enter)
    writeFileSync(join(this.stage, 'mounts'), scripts.root)
    writeFileSync(join(this.stage, 'volumes'), scripts.volumes)
  }

  /** Signals process 1 of the container; SIGKILL goes to everything in it. Nothing happens when it is gone. */
  async kill(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    const targets = signal === 'SIGKILL' ? cgroupMembers(this.cgroup) : [this.mainPid()]
    for (const pid of targets) {
      try {
        if (pid !== undefined) process.kill(pid, signal)
      } catch {
        // It has just ended.
      }
    }
  }

  /** Pid on the host of the container's process 1: the outermost one of its cgroup that is a process 1 somewhere. */
  mainPid(): number | undefined {
    return cgroupMembers(this.cgroup)
      .map((pid) => ({ pid, chain: namespacePids(pid) }))
      .filter(({ chain }) => chain.length > 1 && chain.at(-1) === '1')
      .sort((a, b) => a.chain.length - b.chain.length)[0]?.pid
  }

  /** Starts a command in the container, as root of it. */
  exec(argv: readonly string[]): ChildProcess {
    const pid = this.mainPid()
    if (pid === undefined) throw new Error(`container ${this.options.name} is not running`)
    const { env, security } = this.options
    const enter = ['-t', String(pid), '-m', '-p', '-n', '-u', '-i', '--']
    return spawn('/usr/bin/nsenter', [...enter, ...setpriv(security), ...argv], { env, stdio: ['ignore', 'pipe', 'pipe'] })
  }

  /** Removes what is left of an ended container, except its log file. */
  async remove(): Promise<void> {
    await removeCgroup(this.cgroup)
    await this.exited
    rmSync(this.stage, { recursive: true, force: true, maxRetries: 3 })
    this.log.unlink()
  }
}

function namespacePids(pid: number): string[] {
  try {
    return /^NSpid:\s*(.*)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]?.split(/\s+/) ?? []
  } catch {
    return []
  }
}

/** Waits for descriptor 3's first line. @returns what went wrong; undefined for `ok` */
function firstWord(child: ChildProcess): Promise<string | undefined> {
  const pipe = child.stdio[3] as Readable
  return new Promise((resolve) => {
    let text = ''
    const decide = () => {
      pipe.removeAllListeners('data')
      pipe.resume()
      resolve(/^ok$/m.test(text) ? undefined : text.trim() || 'it ended before its command ran')
    }
    pipe.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk
      if (/^ok$/m.test(text)) decide()
    })
    pipe.once('close', decide)
    child.once('error', (error) => {
      text += error.message
      decide()
    })
  })
}

const signalNumbers: Readonly<Record<string, number>> = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGQUIT: 3,
  SIGABRT: 6,
  SIGKILL: 9,
  SIGSEGV: 11,
  SIGPIPE: 13,
  SIGTERM: 15,
}

function exitOf(code: number | null, signal: NodeJS.Signals | null): ContainerExit {
  if (signal !== null) return { exitCode: 128 + (signalNumbers[signal] ?? 0), signal: signalNumbers[signal] ?? 0 }
  return { exitCode: code ?? 0 }
}
