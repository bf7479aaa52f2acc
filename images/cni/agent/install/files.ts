import { readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'

/** A file's text; undefined if there is none. */
export function readIfThere(path: string): string | undefined {
  return bytesIfThere(path)?.toString()
}

/** A file's content; undefined if there is none. */
export function bytesIfThere(path: string): Buffer | undefined {
  try {
    return readFileSync(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

/** Replaces a file in one step (temporary file in the same directory, then rename). An existing file keeps its mode, unless one is given. */
export function writeAtomically(path: string, content: string | Uint8Array, mode?: number): void {
  const kept = statSync(path, { throwIfNoEntry: false })?.mode
  // No extension that a container runtime would read.
  const temporary = join(dirname(path), `.${basename(path)}.everyhop-tmp`)
  try {
    rmSync(temporary, { force: true })
    writeFileSync(temporary, content, { mode: mode ?? (kept === undefined ? 0o644 : kept & 0o777) })
    renameSync(temporary, path)
  } catch (error) {
    rmSync(temporary, { force: true })
    throw error
  }
}
