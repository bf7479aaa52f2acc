import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { writeAtomically } from '../run/write-atomically.ts'

const file = join(import.meta.dirname, '../../node_modules/.cache/everyhop-durations.json')

/** How long a command took last time, milliseconds; undefined if never, or if nothing can be read. */
export function lastDuration(key: string): number | undefined {
  return all()[key]
}

/** Kept for the time that is left next time. */
export const rememberDuration = (key: string, milliseconds: number): void => rememberDurations({ [key]: milliseconds })

/** Several at once; not being able to is no harm. */
export function rememberDurations(durations: Readonly<Record<string, number>>): void {
  try {
    mkdirSync(join(file, '..'), { recursive: true })
    const rounded = Object.fromEntries(Object.entries(durations).map(([key, ms]) => [key, Math.round(ms)]))
    writeAtomically(file, JSON.stringify({ ...all(), ...rounded }))
  } catch {}
}

function all(): Record<string, number> {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Record<string, number>
  } catch {
    return {}
  }
}
