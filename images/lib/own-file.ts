import { lstatSync, unlinkSync } from 'node:fs'

/**
 * Remembers which file is at `path` now. What it returns takes that one away, if it is still there: a process that came later may have
 * put its own in its place. @throws ENOENT
 */
export function ownFile(path: string): () => void {
  const mine = lstatSync(path)
  return () => {
    const now = lstatSync(path, { throwIfNoEntry: false })
    if (now?.ino === mine.ino && now.dev === mine.dev) unlinkSync(path)
  }
}
