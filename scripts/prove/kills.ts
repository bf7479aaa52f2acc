import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { crashed, descendants, type Ended, everyhop, finished, pause, type Running } from './everyhop.ts'
import { random, table } from './figures.ts'
import { leftovers, look, type Ours } from './host.ts'
import type { Context, Part } from './part.ts'

/** Who is killed. `lab`: the run goes on, and must end with a clear message and without leftovers by itself. */
const variants = ['run', 'run and lab', 'lab'] as const
type Variant = (typeof variants)[number]

interface Kill {
  readonly variant: Variant
  /** Seconds after the start. */
  readonly moment: number
  /** What the run had told last. */
  readonly during: string
  /** What became of the run where it was not killed itself. */
  readonly run: string
  readonly cleaned: string
  readonly judged: string
  readonly failures: readonly string[]
}

/** Kills runs at random moments; after `everyhop clean` the host is as it was before, and what they left of a bundle can be judged. */
export const kills: Part = async (context) => {
  const { times = 10, seed, signal, say } = context
  const scratch = mkdtempSync(join(tmpdir(), 'everyhop-prove-'))
  try {
    const site = new Site(scratch, context)
    const { exitCode, stderr, seconds } = await finished(['run', '--out', join(context.out, 'first')], {
      env: site.env,
      signal,
    })
    if (exitCode !== 0) return { failures: [`the first run, not killed, ended with ${exitCode}: ${lastLines(stderr)}`], report: '' }
    const next = random(seed)
    const done: Kill[] = []
    say(`a run takes ${seconds.toFixed(1)} s; moments are drawn with seed ${seed}`)
    let expected = seconds
    for (let i = 1, attempt = 1; i <= times; attempt++) {
      signal.throwIfAborted()
      const kill = await site.kill(`run-${attempt}`, variants[(i - 1) % variants.length] as Variant, next() * expected)
      if (typeof kill === 'number') {
        say(`a run was over after ${kill.toFixed(1)} s, before its moment had come: it does not count`)
        expected = Math.min(expected, kill)
        continue
      }
      done.push(kill)
      const outcome = kill.failures.length > 0 ? kill.failures.join('; ') : 'nothing left'
      say(`${i++} of ${times}: ${kill.variant} killed after ${kill.moment.toFixed(2)} s, "${kill.during}": ${outcome}`)
    }
    return { failures: done.flatMap((k, i) => k.failures.map((f) => `kill ${i + 1}: ${f}`)), report: reportOf(done, seed, seconds) }
  } finally {
    rmSync(scratch, { recursive: true, force: true })
  }
}

/** A state directory and a temporary one that no other run uses: what is left in them is ours. */
class Site {
  readonly env: Record<string, string>
  readonly #directories: readonly [state: string, temporary: string]
  readonly #context: Context

  constructor(scratch: string, context: Context) {
    this.#directories = [join(scratch, 'state'), mkdtempSync(join(scratch, 'tmp-'))]
    this.#context = context
    const [state, temporary] = this.#directories
    this.env = { EVERYHOP_STATE_DIR: state, TMPDIR: temporary }
  }

  /** @returns instead of a kill: the seconds that the run took, when it was over before the moment came */
  async kill(name: string, variant: Variant, moment: number): Promise<Kill | number> {
    const { signal } = this.#context
    const before = look(this.#directories)
    const out = join(this.#context.out, name)
    const running = everyhop(['run', '--out', out], { env: this.env, signal })
    const ids = await this.#waited(running, moment)
    if (!ids) return (await running.ended).seconds
    const during = running.lastLine().replace(/^[ \d.]+ s {2}/, '')
    const lab = descendants(running.pid, 'clusters/lab/daemon.ts')
    const victims = { run: [running.pid], 'run and lab': [running.pid, ...lab], lab }[variant]
    for (const pid of victims) end(pid)
    for (const id of this.#owners()) ids.add(id)
    const ended = await running.ended
    const failures = variant === 'lab' ? survived(ended, lab.length > 0) : []
    const ours: Ours = { ids: [...ids], directories: this.#directories }
    // A run that ends by itself leaves nothing for clean to do.
    if (variant === 'lab') failures.push(...told('left without clean', await leftovers(before, ours)))
    const cleaned = await finished(['clean'], { env: this.env, signal })
    if (cleaned.exitCode !== 0 || crashed(cleaned))
      failures.push(`clean ended with ${cleaned.exitCode}: ${cleaned.stdout} ${cleaned.stderr}`)
    failures.push(...told('left', await leftovers(before, ours)))
    const judged = await this.#judged(out, failures)
    const run = variant === 'lab' ? `ended with ${ended.exitCode}: ${messageOf(ended)}` : '–'
    return { variant, moment, during, run, cleaned: summaryOf(cleaned.stdout), judged, failures }
  }

  /** Until the moment has come. @returns owner ids that showed up; undefined: the run was over before */
  async #waited(running: Running, seconds: number): Promise<Set<string> | undefined> {
    const ids = new Set<string>()
    const end = performance.now() + seconds * 1000
    let over = false
    running.ended.finally(() => {
      over = true
    })
    for (let left = seconds * 1000; left > 0 && !over; left = end - performance.now()) {
      await pause(Math.min(left, 100), this.#context.signal)
      for (const id of this.#owners()) ids.add(id)
    }
    return over ? undefined : ids
  }

  #owners(): string[] {
    const [state] = this.#directories
    return existsSync(state) ? readdirSync(state).flatMap((name) => /^(eh-[0-9a-f]{8})\.jsonl$/.exec(name)?.[1] ?? []) : []
  }

  /** Judges what there is of a bundle. */
  async #judged(out: string, failures: string[]): Promise<string> {
    if (!existsSync(join(out, 'bundle'))) return 'no bundle yet'
    const judged = await finished(['judge', out], { signal: this.#context.signal })
    // Without any case that was judged, the error or the notes say why.
    const said = messageOf(judged) || judged.stdout.match(/^.* of \d+ cases;.*$/m)?.[0] || ''
    if (![0, 1, 3, 4].includes(judged.exitCode ?? -1) || crashed(judged) || said === '')
      failures.push(`judge ended with ${judged.exitCode}: ${lastLines(judged.stderr)}`)
    return `exit ${judged.exitCode}: ${said}`
  }
}

function end(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It came to its end before.
  }
}

/** What is wrong with how a run ended whose lab was killed. */
function survived(ended: Ended, killed: boolean): string[] {
  if (!killed) return ended.exitCode === 0 ? [] : [`the run ended with ${ended.exitCode}: ${lastLines(ended.stderr)}`]
  const failures: string[] = []
  // Killed while it was being taken down anyway: the verdicts were there.
  if (ended.exitCode !== 3 && ended.exitCode !== 0)
    failures.push(`the run without a lab ended with ${ended.exitCode}: ${lastLines(ended.stderr)}`)
  if (crashed(ended)) failures.push(`the run without a lab ended with a stack trace: ${lastLines(ended.stderr)}`)
  if (ended.exitCode === 3 && !/lab's process/.test(ended.stderr))
    failures.push(`the run does not say that its lab is gone: ${lastLines(ended.stderr)}`)
  return failures
}

/** The first few in full, the rest by their number. */
function told(what: string, lines: readonly string[]): string[] {
  const few = lines.slice(0, 8).map((line) => `${what}: ${line.slice(0, 300)}`)
  return lines.length > few.length ? [...few, `${what}: ${lines.length - few.length} more`] : few
}

const lastLines = (text: string) => text.trim().split('\n').slice(-5).join(' / ').slice(-900)

const messageOf = ({ stderr }: Ended) => stderr.match(/^everyhop: .*$/m)?.[0].slice('everyhop: '.length, 200) ?? ''

/** The first words of each owner's report, without what was removed one by one. */
const summaryOf = (stdout: string) =>
  stdout
    .split('\n')
    .filter((line) => line && !line.startsWith('  '))
    .map((line) => line.replace(/^eh-\w+: /, ''))
    .join(', ')

function reportOf(done: readonly Kill[], seed: number, seconds: number): string {
  const held = done.filter((k) => k.failures.length === 0).length
  return [
    `After ${held} of ${done.length} kills the host was as before. Moments are uniform over the time of a run (${seconds.toFixed(1)} s at first), seed ${seed}.`,
    table(
      ['killed', 'after s', 'during', 'the run itself', 'clean', 'judge', 'host'],
      done.map((k) => [
        k.variant,
        k.moment.toFixed(2),
        k.during,
        k.run,
        k.cleaned,
        k.judged,
        k.failures.length === 0 ? 'as before' : `${k.failures.length} problems`,
      ]),
    ),
  ].join('\n\n')
}
