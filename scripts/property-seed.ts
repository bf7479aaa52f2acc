import { readFileSync } from 'node:fs'
import { expect } from 'vitest'

/** Decides what property tests try: the same each time, so that a change is judged by what it changed. `npm run prove -- properties` tries others. */
const seed = Number(process.env.EVERYHOP_SEED ?? 1)

// Loaded where it is used only: most test files do without.
const { testPath } = expect.getState()
if (testPath && readFileSync(testPath, 'utf8').includes("'fast-check'")) {
  const { default: fc } = await import('fast-check')
  fc.configureGlobal({ seed })
}
