import { join, resolve } from 'node:path'
import { Writable } from 'node:stream'
import { createVitest } from 'vitest/node'
import './context.ts'
import type { RunContext } from './context.ts'
import type { RunReporter } from './reporter.ts'

/** What vitest itself has to say is in its events. */
const nowhere = () => new Writable({ write: (_chunk, _encoding, done) => done() })

const root = resolve(import.meta.dirname, '../..')

/**
 * Runs a suite over a cluster that stands: vitest schedules them, one worker, in order; our reporter tells of them.
 * Failed claims are not errors here: the verdicts are in the bundles.
 * @param suite which of them: the name of a spec
 * @param signal ends them early: what is being done is done to its end, what was to come is left out
 * @returns problems that are not a case's own, in words
 */
export async function runSuite(
  suite: 'redirection' | 'disruption',
  context: RunContext,
  reporter: RunReporter,
  signal: AbortSignal,
): Promise<string[]> {
  const ends = ['SIGINT', 'SIGTERM'] as const
  const listeners = ends.map((end) => process.listeners(end))
  const vitest = await createVitest(
    {
      root,
      config: false,
      watch: false,
      include: [join('suites', `${suite}.spec.ts`)],
      pool: 'threads',
      maxWorkers: 1,
      isolate: false,
      fileParallelism: false,
      // The driver says how many are in flight: it must see all that wait, to find those that share nothing.
      maxConcurrency: context.concurrency === 1 ? 1 : Number.MAX_SAFE_INTEGER,
      // Against hanging: what is waited for has time-outs of its own, or is as slow as the machine is.
      testTimeout: 120_000,
      hookTimeout: 300_000,
      reporters: [reporter],
      provide: { everyhop: context },
      // The exit code is the run's, not vitest's.
      passWithNoTests: true,
    },
    { logLevel: 'silent' },
    // Its own view of a terminal: it would hide the cursor, and not show it again when it is ended.
    { stdout: nowhere(), stderr: nowhere() },
  )
  // vitest's own would end the process at once, before the cluster is taken down.
  ends.forEach((end, i) => {
    for (const listener of process.listeners(end)) if (!listeners[i]!.includes(listener)) process.off(end, listener)
  })
  const cancel = () => void vitest.cancelCurrentRun('keyboard-input')
  signal.addEventListener('abort', cancel)
  if (!signal.aborted) await vitest.start()
  signal.removeEventListener('abort', cancel)
  const problems = [
    ...vitest.state.getUnhandledErrors().map((e) => (e instanceof Error ? e.message : String(e))),
    ...vitest.state
      .getTestModules()
      .flatMap((m) => [...m.errors(), ...[...m.children.allSuites()].flatMap((s) => s.errors())].map((e) => e.message)),
  ]
  await vitest.close()
  process.exitCode = undefined
  return [...new Set([...problems, ...reporter.problems])]
}
