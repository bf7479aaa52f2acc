import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { kindProgram } from '../../clusters/kind/cli.ts'
import { daemonPid, stopIdleDaemon } from '../../clusters/kind/docker/daemon.ts'
import type { Docker } from '../../clusters/kind/docker/docker.ts'
import { findDocker } from '../../clusters/kind/docker/find-docker.ts'
import { ensureNodeImage } from '../../clusters/kind/node-image.ts'
import { crashed, descendants, type Ended, everyhop, finished, pause } from './everyhop.ts'
import { random, table } from './figures.ts'
import { leftovers, look } from './host.ts'
import type { Context, Part } from './part.ts'

/** How much of what is left is told: a cluster that stays is hundreds of things. */
const told = 10

interface Made {
  readonly what: string
  /** Seconds until it stood or was killed, and until it was taken down or cleaned up. */
  readonly seconds: readonly [number, number]
  readonly failures: readonly string[]
}

/** Clusters of kind with mesh and apps, brought up and taken down in a row; then as many that are killed while they come up, and cleaned up. Nothing of them stays, on this host or in its Docker; nobody else may make any meanwhile. */
export const kindClusters: Part = async (context) => {
  const { times = 5, seed, signal, say } = context
  const scratch = mkdtempSync(join(tmpdir(), 'everyhop-prove-'))
  const ran = daemonPid() !== undefined
  try {
    const docker = await findDocker(say)
    // What is declared to stay, so that it is there before the first.
    await Promise.all([kindProgram(say), ensureNodeImage(docker, undefined, say)])
    const site = new Site(scratch, docker, context)
    const made: Made[] = []
    const add = (one: Made) => {
      made.push(one)
      say(`${made.length} of ${2 * times}: ${one.what}: ${one.failures.join('; ') || 'nothing left'}`)
    }
    for (let i = 1; i <= times; i++) add(await site.whole(`cluster-${i}`))
    const next = random(seed)
    say(`moments are drawn with seed ${seed}`)
    const usual = Math.min(...made.map((m) => m.seconds[0]))
    for (let i = 1; i <= times; i++) {
      signal.throwIfAborted()
      add(await site.killed(`killed-${i}`, next() * usual))
    }
    const rows = made.map((m, i) => [
      i + 1,
      m.what,
      ...m.seconds.map((s) => s.toFixed(1)),
      m.failures.length === 0 ? 'nothing' : m.failures.join('; '),
    ])
    return { failures: made.flatMap((m) => m.failures), report: table(['', 'what', 's until then', 's until gone', 'left'], rows) }
  } finally {
    if (!ran) await stopIdleDaemon()
    rmSync(scratch, { recursive: true, force: true })
  }
}

class Site {
  readonly #env: Record<string, string>
  readonly #directories: readonly [state: string, temporary: string]
  readonly #docker: Docker
  readonly #context: Context

  constructor(scratch: string, docker: Docker, context: Context) {
    this.#directories = [join(scratch, 'state'), mkdtempSync(join(scratch, 'tmp-'))]
    const [state, temporary] = this.#directories
    // There before the first look, as they are before every other.
    mkdirSync(join(state, 'files'), { recursive: true })
    this.#env = { EVERYHOP_STATE_DIR: state, TMPDIR: temporary }
    this.#docker = docker
    this.#context = context
  }

  /** Brings a cluster up and takes it down. */
  async whole(name: string): Promise<Made> {
    const left = await this.#looked()
    const up = await this.#finished(['up', '--provider', 'kind', '--name', name])
    const ids = this.#owners()
    const failures = up.exitCode === 0 ? [] : [`up ended with ${up.exitCode}: ${up.stderr.trim()}`]
    const down = await this.#finished(['down', name])
    if (down.exitCode !== 0) failures.push(`down ended with ${down.exitCode}: ${down.stderr.trim()}`)
    return { what: `${name} up and down`, seconds: [up.seconds, down.seconds], failures: [...failures, ...(await left(ids))] }
  }

  /** Kills a cluster that comes up, with the process that would hold it, and cleans up. */
  async killed(name: string, moment: number): Promise<Made> {
    const left = await this.#looked()
    const { signal } = this.#context
    const running = everyhop(['up', '--provider', 'kind', '--name', name], { env: this.#env, signal })
    await pause(moment * 1000, signal)
    const during = running.lastLine()
    for (const pid of [...descendants(running.pid, 'clusters/keeper.ts'), running.pid]) {
      try {
        process.kill(pid, 'SIGKILL')
      } catch {
        // It came to its end before.
      }
    }
    const ids = this.#owners()
    await running.ended
    const cleaned = await this.#finished(['clean'])
    const failures = cleaned.exitCode === 0 && !crashed(cleaned) ? [] : [`clean ended with ${cleaned.exitCode}: ${cleaned.stderr.trim()}`]
    const what = `killed after ${moment.toFixed(1)} s${during && `, "${during}"`}`
    return { what, seconds: [moment, cleaned.seconds], failures: [...failures, ...(await left(ids))] }
  }

  #finished(args: readonly string[]): Promise<Ended> {
    return finished(args, { env: this.#env, signal: this.#context.signal })
  }

  /** Looks at host and Docker. @returns what tells, later, what of clusters with these ids has stayed */
  async #looked(): Promise<(ids: readonly string[]) => Promise<string[]>> {
    const [host, inDocker] = [look(this.#directories), await this.#inDocker()]
    return async (ids) => {
      const more = (await this.#inDocker()).filter((line) => !inDocker.includes(line))
      const all = [...more, ...(await leftovers(host, { ids, directories: this.#directories }))].map((line) => `left: ${line}`)
      return all.length > told ? [...all.slice(0, told), `and ${all.length - told} more`] : all
    }
  }

  async #inDocker(): Promise<string[]> {
    const lists = [
      ['ps', '--all', '--format', 'container {{.Names}}'],
      ['network', 'ls', '--format', 'network {{.Name}}'],
      ['volume', 'ls', '--format', 'volume {{.Name}}'],
      ['images', '--all', '--format', 'image {{.Repository}}:{{.Tag}} {{.ID}}'],
    ]
    return (await Promise.all(lists.map((list) => this.#docker.lines(list)))).flat()
  }

  #owners(): string[] {
    const [state] = this.#directories
    return readdirSync(state).flatMap((name) => /^(eh-[0-9a-f]{8})\.jsonl$/.exec(name)?.[1] ?? [])
  }
}
