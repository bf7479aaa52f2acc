import { renameSync, writeFileSync } from 'node:fs'

/** Writes a file whole or not at all: who reads it while it is written, or after a kill, sees the old one or the new one. */
export function writeAtomically(file: string, text: string): void {
  const draft = `${file}.${process.pid}.new`
  writeFileSync(draft, text)
  renameSync(draft, file)
}
