import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { asExpected, countOutcomes, type FaultResult, faultsSchema, gotThrough } from '../../reports/faults.ts'
import { finished } from './everyhop.ts'
import { table } from './figures.ts'
import type { Part } from './part.ts'

/** Every fault is seeded; the traffic must catch each. */
export const faults: Part = async ({ out, signal, say }) => {
  const { exitCode, stderr, seconds } = await finished(['mutate', '--out', out], { signal })
  const file = join(out, 'faults.json')
  if (!existsSync(file))
    return { failures: [`mutate ended with ${exitCode}: ${stderr.trim().split('\n').slice(-4).join(' / ')}`], report: '' }
  const { faults } = faultsSchema.parse(JSON.parse(readFileSync(file, 'utf8')))
  const missed = faults.filter(gotThrough)
  const summary = `${countOutcomes(faults)}; ${faults.filter((f) => f.audit).length} seen by the state audit; ${seconds.toFixed(0)} s.`
  say(summary)
  const words = (p: FaultResult['expected']) => `${p.case} at ${p.hop}`
  return {
    failures: [
      ...missed.map((f) => `${f.fault} is not caught: ${f.why}`),
      ...(exitCode === 0 || missed.length > 0 ? [] : [`mutate ended with ${exitCode}`]),
    ],
    report: [
      summary,
      table(
        ['fault', 'outcome', 'caught by traffic', 'expected', 'audit'],
        faults.map((f) => [
          f.fault,
          f.outcome,
          f.traffic ? words(f.traffic) : '',
          asExpected(f) ? 'there' : words(f.expected),
          f.audit ? 'seen' : 'not seen',
        ]),
      ),
    ].join('\n\n'),
  }
}
