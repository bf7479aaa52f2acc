import { join } from 'node:path'
import { descendants, pause, start } from './everyhop.ts'
import { spread, spreadHead, table } from './figures.ts'
import type { Part } from './part.ts'

/** How long `npm start` takes where everything is installed, and how much of it is set-up: all that comes before the command's own process. */
export const warmStart: Part = async ({ out, times = 5, signal, say }) => {
  const failures: string[] = []
  const whole: number[] = []
  const setUp: number[] = []
  for (let i = 1; i <= times; i++) {
    signal.throwIfAborted()
    const started = performance.now()
    const running = start('npm', ['start', '--silent', '--', '--out', join(out, `run-${i}`)], { signal })
    let over = false
    const ended = running.ended.finally(() => {
      over = true
    })
    while (!over && descendants(running.pid, 'harness/cli/main.ts').length === 0) await pause(5, signal)
    const before = (performance.now() - started) / 1000
    const { exitCode, stderr, seconds } = await ended
    whole.push(seconds)
    setUp.push(before)
    say(`${i} of ${times}: ${seconds.toFixed(1)} s, set-up ${before.toFixed(2)} s`)
    if (exitCode !== 0) failures.push(`start ${i}: exit code ${exitCode}: ${stderr.trim().split('\n').slice(-4).join(' / ')}`)
    if (before >= 1) failures.push(`start ${i}: set-up took ${before.toFixed(2)} s, it may take 1 s`)
  }
  return {
    failures,
    report: table(
      ['', ...spreadHead],
      [
        ['npm start, whole', ...spread(whole)],
        ['set-up alone', ...spread(setUp)],
      ],
    ),
  }
}
