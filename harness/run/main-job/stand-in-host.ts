import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { compareHosts, type HostDifference, type HostSnapshot } from '../../../clusters/audit.ts'
import { markedProcesses } from '../../../clusters/processes.ts'

export const root = resolve(import.meta.dirname, '../../..')
export const cli = ['--disable-warning=ExperimentalWarning', join(root, 'harness/cli/main.ts')]

/**
 * Network, mount and pid namespaces that stand for the host: runs in here think that it is one, and an audit of it sees what they leave
 * and nothing of what other tests do to the real host at the same time. Only control groups are the real host's.
 */
export class StandInHost {
  /** Scratch folder of the tests, seen on both sides. */
  readonly folder = mkdtempSync(join(tmpdir(), 'everyhop-main-job-'))
  readonly #state = join(this.folder, 'state')
  readonly #owners = new Set<string>()
  readonly #programs = new Set<ChildProcess>()
  #holder: ChildProcess | undefined
  #pid = 0

  async start(): Promise<this> {
    // The state folder itself stays on a host; what runs put into it must not.
    mkdirSync(join(this.#state, 'files'), { recursive: true })
    // Names of namespaces are files and mounts: other tests make and remove theirs in the host's folder.
    const script = `
umount --recursive --lazy /run/netns 2>/dev/null
mkdir -p /run/netns && mount -t tmpfs netns /run/netns && ip link set lo up && echo up && exec tini sleep infinity`
    const namespaces = ['--net', '--mount', '--propagation', 'private', '--pid', '--fork', '--kill-child', '--mount-proc']
    this.#holder = spawn('unshare', [...namespaces, 'sh', '-c', script], {
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    await once(this.#holder.stdout!, 'data')
    this.#pid = onlyChild(this.#holder.pid!)
    return this
  }

  /** Starts a program of the pinned Node in here. */
  spawn(args: readonly string[], options: SpawnOptions = {}): ChildProcess {
    const program = spawn(
      'nsenter',
      ['--target', `${this.#pid}`, '--net', '--mount', '--pid', '--', process.execPath, '--v8-pool-size=0', ...args],
      {
        ...options,
        // A process group of its own, as a terminal's foreground job is.
        detached: true,
        cwd: root,
        env: { ...process.env, EVERYHOP_STATE_DIR: this.#state },
      },
    )
    this.#programs.add(program)
    program.once('exit', () => this.#programs.delete(program))
    return program
  }

  /** Sends a signal to the program itself: nsenter would keep it. */
  kill(program: ChildProcess, signal: NodeJS.Signals): void {
    process.kill(onlyChild(program.pid!), signal)
  }

  /** Ctrl-C on the program's terminal: a signal for all of its process group. Only nsenter, which no user has there, goes on waiting. */
  interrupt(program: ChildProcess): void {
    for (const pid of readdirSync('/proc')
      .map(Number)
      .filter((n) => n > 0 && n !== program.pid))
      if (groupOf(pid) === program.pid) process.kill(pid, 'SIGINT')
  }

  /** Kills the process that holds the lab of the run which writes to `folder`: nobody is left to take it down. */
  killLabOf(folder: string): void {
    const label = readdirSync(this.#state).find(
      (name) => name.endsWith('.label') && readFileSync(join(this.#state, name), 'utf8').includes(folder),
    )
    const owner = label?.slice(0, -'.label'.length)
    const labs = markedProcesses().filter(
      (p) => p.owner === owner && readFileSync(`/proc/${p.pid}/cmdline`, 'latin1').includes('lab/daemon.ts'),
    )
    if (labs.length !== 1) throw new Error(`${labs.length} processes hold the lab of the run in ${folder}`)
    process.kill(labs[0]!.pid, 'SIGKILL')
  }

  async snapshot(): Promise<HostSnapshot> {
    const code = `import { snapshotHost } from '${join(root, 'clusters/audit.ts')}'; console.log(JSON.stringify(snapshotHost('${this.#state}')))`
    const program = this.spawn(['--input-type=module', '-e', code], { stdio: ['ignore', 'pipe', 'inherit'] })
    const chunks: Buffer[] = []
    program.stdout!.on('data', (chunk) => chunks.push(chunk))
    await once(program, 'close')
    return JSON.parse(Buffer.concat(chunks).toString()) as HostSnapshot
  }

  /** The owners that are at work in here now. Their control groups are audited from now on. */
  owners(): string[] {
    for (const name of readdirSync(this.#state)) if (/^eh-\w+\.jsonl$/.test(name)) this.#owners.add(name.slice(0, -6))
    return [...this.#owners]
  }

  /** What has been left since `before`. */
  async left(before: HostSnapshot): Promise<HostDifference[]> {
    const mine = (line: string) => [...this.#owners].some((id) => line.includes(id))
    return compareHosts(before, await this.snapshot()).filter((d) => d.kind !== 'cgroups' || mine(d.line))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#pid) {
      // What a failed test left is cleaned up as what any killed run leaves.
      for (const program of this.#programs) {
        const over = once(program, 'exit')
        this.kill(program, 'SIGKILL')
        await over
      }
      await once(this.spawn([...cli, 'clean'], { stdio: 'ignore' }), 'exit')
      process.kill(this.#pid, 'SIGKILL')
      await once(this.#holder!, 'exit')
    }
    rmSync(this.folder, { recursive: true, force: true })
  }
}

function groupOf(pid: number): number | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    // proc(5): the fields after the name in parentheses are state, parent and process group.
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[2])
  } catch {
    return undefined
  }
}

function onlyChild(pid: number): number {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ')
  if (children.length !== 1 || !children[0]) throw new Error(`process ${pid} has not one child but: ${children.join(' ') || 'none'}`)
  return Number(children[0])
}
