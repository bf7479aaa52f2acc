import { expect, test } from 'vitest'
import { casesOf } from '../matrix/cases.ts'
import { phasesOf } from './phases.ts'

test('every case makes its request once and its negative control once', () => {
  const cases = casesOf('inpod')
  const steps = phasesOf(cases).flatMap((p) => p.steps)
  for (const c of cases)
    expect(
      steps
        .filter((s) => s.case === c)
        .map((s) => s.role)
        .sort(),
    ).toEqual(['main', 'negative'])
  expect(steps).toHaveLength(cases.length * 2)
})

test('a phase without requests is left out: its policies need not be applied', () => {
  const probes = casesOf('inpod').filter((c) => c.traffic === 'probe' && c.policy === 'none')
  expect(phasesOf(probes).map((p) => p.policies)).toEqual(['none', 'none'])
})
