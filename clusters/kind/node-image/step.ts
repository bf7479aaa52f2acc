import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, utimesSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'

/** A piece of work whose result is a directory, and depends on nothing but its inputs. */
export interface Step {
  readonly name: string
  /** Plain data; files by `digestOf`. */
  readonly inputs: unknown
  /** Fills the directory, which is empty. */
  make(directory: string): Promise<void>
}

export interface Built {
  readonly directory: string
  /** Changes when what is in the directory may have changed: an input of the steps that use it. */
  readonly key: string
}

/** Where built things are kept between runs: `$XDG_CACHE_HOME/everyhop`, else `~/.cache/everyhop`. */
export const cacheDirectory = (): string => join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'everyhop')

/** Another run, of another state of the sources, may still work with what it has found; milliseconds. */
const inUseMs = 3_600_000

/** After a step's name: of its inputs; of one that is being made also by which process. */
const result = /^[0-9a-f]{16}(\.(?<pid>\d+))?$/

/**
 * The step's directory, made if no earlier run made it from the same inputs. One that fails leaves nothing.
 * Results of the same step from other inputs are removed when nobody has asked for them for an hour, and so is what killed processes left of it.
 */
export async function built(step: Step, root = join(cacheDirectory(), 'node-image')): Promise<Built> {
  const key = createHash('sha256').update(JSON.stringify(step.inputs)).digest('hex').slice(0, 16)
  const directory = join(root, `${step.name}-${key}`)
  if (existsSync(directory)) {
    utimesSync(directory, new Date(), new Date())
    return { directory, key }
  }
  const unfinished = `${directory}.${process.pid}`
  mkdirSync(unfinished, { recursive: true })
  try {
    await step.make(unfinished)
    // Another build may have come first: its result is as good.
    if (!existsSync(directory)) renameSync(unfinished, directory)
  } finally {
    rmSync(unfinished, { recursive: true, force: true })
  }
  for (const other of readdirSync(root)) {
    const ofThisStep = other.startsWith(`${step.name}-`) ? result.exec(other.slice(step.name.length + 1)) : null
    const isMade = existsSync(`/proc/${ofThisStep?.groups?.pid ?? 'none'}`)
    const asked = statSync(join(root, other), { throwIfNoEntry: false })?.mtimeMs ?? Number.POSITIVE_INFINITY
    if (ofThisStep && !isMade && join(root, other) !== directory && Date.now() - asked > inUseMs)
      rmSync(join(root, other), { recursive: true, force: true })
  }
  return { directory, key }
}

/** SHA-256 over names and contents of a file, or of all files below a directory. */
export function digestOf(path: string): string {
  const hash = createHash('sha256')
  const add = (at: string, name: string) => {
    if (statSync(at).isDirectory()) for (const entry of readdirSync(at).sort()) add(join(at, entry), `${name}/${entry}`)
    else hash.update(`${name}\0`).update(readFileSync(at)).update('\0')
  }
  add(path, '')
  return hash.digest('hex')
}
