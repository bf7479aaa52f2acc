import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { asExpected, type FaultResult, faultsSchema } from '../../reports/faults.ts'
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
  const caught = faults.filter((f) => f.traffic)
  const atHop = caught.filter(asExpected)
  const summary = `${caught.length} of ${faults.length} faults caught by traffic, ${atHop.length} at the hop that was expected; ${faults.filter((f) => f.audit).length} seen by the state audit; ${seconds.toFixed(0)} s.`
  say(summary)
  const words = (p: FaultResult['traffic']) => (p ? `${p.case} at ${p.hop}` : 'NOT CAUGHT')
  return {
    failures: [
      ...faults.filter((f) => !f.traffic).map((f) => `${f.fault} is not caught: ${f.why}`),
      ...(exitCode === 0 || caught.length < faults.length ? [] : [`mutate ended with ${exitCode}`]),
    ],
    report: [
      summary,
      table(
        ['fault', 'caught by traffic', 'as expected', 'audit'],
        faults.map((f) => [
          f.fault,
          words(f.traffic),
          words(f.traffic) === words(f.expected) ? 'yes' : words(f.expected),
          f.audit ? 'seen' : 'not seen',
        ]),
      ),
    ].join('\n\n'),
  }
}
