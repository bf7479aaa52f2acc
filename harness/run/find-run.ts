import { existsSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'

/** A run that cannot be found: where it was looked for, and the fix. */
export class NoRunError extends Error {
  override name = 'NoRunError'
}

/** The folder of a run: the one that is given, else the newest below `out/` that has a bundle. */
export function findRun(given: string | undefined, parent = 'out'): string {
  if (given !== undefined) {
    if (!existsSync(given)) throw new NoRunError(`there is no folder ${given}; fix: give the folder of a run`)
    return given
  }
  const runs = (existsSync(parent) ? readdirSync(parent) : [])
    .map((name) => join(parent, name))
    .filter((path) => existsSync(join(path, 'bundle')))
    .map((path) => ({ path, made: statSync(join(path, 'bundle')).birthtimeMs }))
    .toSorted((a, b) => b.made - a.made)
  if (!runs[0]) throw new NoRunError(`there is no run below ${parent}/; fix: give the folder of a run, or make one with npm start`)
  return runs[0].path
}
