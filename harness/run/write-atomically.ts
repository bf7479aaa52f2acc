import { renameSync, rmSync, writeFileSync } from 'node:fs'

/** Whoever reads the file sees the old one or the new one, whole. Where it cannot be written, nothing of it is left. */
export function writeAtomically(file: string, content: string): void {
  const fresh = `${file}.${process.pid}.new`
  try {
    writeFileSync(fresh, content)
    renameSync(fresh, file)
  } catch (error) {
    rmSync(fresh, { force: true })
    throw error
  }
}
