import { expect, test } from 'vitest'
import { Stages } from './stages.ts'

test('a stage is told whole, and kept without its parts, so that the times add up', async () => {
  const told: string[] = []
  const stages = new Stages((name) => told.push(name))
  const started = performance.now()
  while (performance.now() - started < 20);
  stages.part('requests', 15)
  stages.end('suites')
  stages.end('judged')
  expect(told).toEqual(['requests', 'suites', 'judged'])
  const [requests, suites, judged] = stages.done
  expect(requests).toEqual({ name: 'requests', ms: 15 })
  expect(suites!.name).toBe('suites: the rest')
  expect(suites!.ms).toBeGreaterThanOrEqual(5)
  expect(suites!.ms + 15).toBeLessThanOrEqual(Math.ceil(performance.now() - started) + 1)
  expect(judged!.name).toBe('judged')
})
