import { join } from 'node:path'
import { finished, pause } from './everyhop.ts'
import { table } from './figures.ts'
import type { Part } from './part.ts'
import { fullRun } from './runs.ts'

/** Two full runs at once, and `everyhop clean` while they go on, which must not touch them. */
export const sideBySide: Part = async ({ out, times = 1, signal, say }) => {
  const failures: string[] = []
  const rows: (string | number)[][] = []
  for (let i = 1; i <= times; i++) {
    signal.throwIfAborted()
    let over = false
    let spared = 0
    const both = Promise.all(['a', 'b'].map((name) => fullRun(join(out, `run-${i}${name}`), { signal }))).finally(() => {
      over = true
    })
    while (!over) {
      await pause(2000, signal).catch(() => {})
      if (over) break
      const { exitCode, stdout, stderr } = await finished(['clean'], { signal })
      if (exitCode !== 0 && !signal.aborted) failures.push(`clean beside two runs ended with ${exitCode}: ${stdout} ${stderr}`)
      if ((stdout.match(/is running/g) ?? []).length >= 2) spared++
    }
    const runs = await both
    failures.push(...runs.flatMap((r) => r.failures))
    if (spared === 0) failures.push('clean never saw both runs alive: nothing was proven of it')
    for (const run of runs)
      rows.push([i, `${run.results?.totals.pass ?? 0} of ${run.results?.cases.length ?? 0}`, run.ended.seconds.toFixed(1), spared])
    say(
      `${i} of ${times}: ${runs.map((r) => `${r.results?.totals.pass ?? 0} cases pass in ${r.ended.seconds.toFixed(1)} s`).join(', beside it ')}`,
    )
  }
  return { failures, report: table(['pair', 'cases that pass', 'seconds', 'times that clean ran beside it'], rows) }
}
