import type { Judgement } from '../judge/bundle.ts'
import type { Attempt } from '../traffic/attempt.ts'

/** How long each case kept the run busy, milliseconds: the windows of its requests, controls included. */
export function costsOf(judgements: readonly Judgement[]): Map<string, number> {
  const costs = new Map<string, number>()
  for (const { bundle } of judgements) {
    const windows = new Set<string>()
    for (const { value } of bundle.traffic) {
      const { case: id, window } = value as Partial<Attempt>
      if (id === undefined || !window) continue
      // What is made at the same time, such as the positive control, has the same window.
      const key = `${window.from} ${window.to}`
      if (windows.has(key)) continue
      windows.add(key)
      costs.set(id, (costs.get(id) ?? 0) + (window.to - window.from) / 1000)
    }
  }
  return costs
}
