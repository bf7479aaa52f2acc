import { expect, test } from 'vitest'
import { asExpected, countOutcomes, type FaultResult, gotThrough } from './faults.ts'

const result = (outcome: FaultResult['outcome'], equivalent?: string) => ({ outcome, ...(equivalent ? { equivalent } : {}) })

test('a fault got through when it was missed, or cannot be told from none though the catalogue does not say why', () => {
  expect(gotThrough(result('missed'))).toBe(true)
  expect(gotThrough(result('missed', 'nobody asks'))).toBe(true)
  expect(gotThrough(result('equivalent'))).toBe(true)
  expect(gotThrough(result('equivalent', 'nobody asks'))).toBe(false)
  expect(gotThrough(result('caught elsewhere'))).toBe(false)
})

test('it is caught as expected only at the very case and hop', () => {
  const expected = { case: 'c', hop: 'h' }
  expect(asExpected({ expected, traffic: expected })).toBe(true)
  expect(asExpected({ expected, traffic: { case: 'c', hop: 'x' } })).toBe(false)
  expect(asExpected({ expected, traffic: { case: 'x', hop: 'h' } })).toBe(false)
  expect(asExpected({ expected })).toBe(false)
})

test('they are counted by what became of them', () => {
  expect(countOutcomes(['caught', 'caught', 'missed', 'equivalent'].map((outcome) => result(outcome as 'caught')))).toBe(
    '2 caught, 0 caught elsewhere, 1 missed, 1 equivalent of 4 faults',
  )
})
