import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const file = join(import.meta.dirname, '../../node_modules/.cache/everyhop-durations.json')

/** How long a command took last time, milliseconds; undefined if never, or if nothing can be read. */
export function lastDuration(key: string): number | undefined {
  return all()[key]
}

/** Kept for the time that is left next time; not being able to is no harm. */
export function rememberDuration(key: string, milliseconds: number): void {
  try {
    mkdirSync(join(file, '..'), { recursive: true })
    writeFileSync(file, JSON.stringify({ ...all(), [key]: Math.round(milliseconds) }))
  } catch {}
}

function all(): Record<string, number> {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Record<string, number>
  } catch {
    return {}
  }
}
