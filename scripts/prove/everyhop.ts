import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { execa } from 'execa'

const root = join(import.meta.dirname, '../..')

export interface Ended {
  /** undefined: it was killed. */
  readonly exitCode: number | undefined
  readonly stdout: string
  readonly stderr: string
  readonly seconds: number
}

/** A command of the product, going on. */
export interface Running {
  readonly pid: number
  /** What it said last on standard error. */
  lastLine(): string
  readonly ended: Promise<Ended>
}

export interface Start {
  /** Added to this process's environment. */
  readonly env?: Readonly<Record<string, string>>
  /** Ends it in order. */
  readonly signal?: AbortSignal | undefined
}

/** Starts `everyhop ARGS`: its own process, no launcher before it. */
export const everyhop = (args: readonly string[], options?: Start): Running =>
  start(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', '--v8-pool-size=0', join(root, 'harness/cli/main.ts'), ...args],
    options,
  )

/** Starts a command of the host in the repository's directory. */
export function start(file: string, args: readonly string[], { env = {}, signal }: Start = {}): Running {
  const started = performance.now()
  // Its time of start is the launcher's own, and not that of a command that it starts.
  const { EVERYHOP_STARTED: _, ...inherited } = process.env
  const child = execa(file, args, {
    cwd: root,
    env: { ...inherited, ...env },
    extendEnv: false,
    reject: false,
    stdin: 'ignore',
    ...(signal ? { cancelSignal: signal } : {}),
    forceKillAfterDelay: 60_000,
  })
  let last = ''
  child.stderr.on('data', (text: Buffer) => {
    last = text.toString().trimEnd().split('\n').at(-1) || last
  })
  const ended = child.then(({ exitCode, stdout, stderr, originalMessage }) => {
    if (child.pid === undefined) throw new Error(`cannot start ${file}: ${originalMessage}`)
    return { exitCode, stdout, stderr, seconds: (performance.now() - started) / 1000 }
  })
  return { pid: child.pid ?? 0, lastLine: () => last, ended }
}

/** `everyhop ARGS` to its end. */
export const finished = (args: readonly string[], options?: Start): Promise<Ended> => everyhop(args, options).ended

/** Children of a process, and theirs, whose command line holds `text`. */
export function descendants(pid: number, text: string): number[] {
  let children: number[]
  try {
    children = readdirSync(`/proc/${pid}/task`).flatMap((task) =>
      readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8').split(' ').filter(Boolean).map(Number),
    )
  } catch {
    return []
  }
  return children.flatMap((child) => [...(commandLine(child).includes(text) ? [child] : []), ...descendants(child, text)])
}

function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1').replaceAll('\0', ' ')
  } catch {
    return ''
  }
}

/** Whether what a command said holds a stack trace: a crash, where a message was due. */
export const crashed = ({ stdout, stderr }: Pick<Ended, 'stdout' | 'stderr'>): boolean =>
  /^\s+at .+:\d+:\d+\)?$/m.test(`${stdout}\n${stderr}`)

/** Waits, and no longer than until the signal. */
export async function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted()
  const ended = new AbortController()
  const timer = setTimeout(() => ended.abort(), milliseconds)
  const either = AbortSignal.any([signal, ended.signal])
  if (!either.aborted) await once(either, 'abort')
  clearTimeout(timer)
  signal.throwIfAborted()
}
