import { mkdirSync } from 'node:fs'

/**
 * Makes a directory and those above it. (Node's own `recursive` never returns where a parent is there but takes no directory, as in /proc.)
 * @throws the system's error, such as ENOENT or ENOTDIR
 */
export function makeDirectories(path: string, mode = 0o755): void {
  const parts = path.split('/').filter(Boolean)
  for (let depth = 1; depth <= parts.length; depth++) {
    const directory = `${path.startsWith('/') ? '/' : ''}${parts.slice(0, depth).join('/')}`
    try {
      mkdirSync(directory, mode)
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      // A file in the way shows at the next part, and at the last one by whoever uses the directory.
      if (code !== 'EEXIST') throw error
    }
  }
}
