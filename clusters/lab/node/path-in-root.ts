import { readlinkSync } from 'node:fs'

/**
 * Where a path of a node is for processes outside it: symbolic links are followed as inside `root`. (The kernel would follow an
 * absolute link found under `/proc/PID/root` from the caller's own root: `/var/run` would end in the host's `/run`.)
 * What does not exist is taken as it is written.
 * @param root such as `/proc/PID/root`
 * @param path absolute, as the node sees it
 * @returns a path that starts with `root`
 */
export function pathInRoot(root: string, path: string): string {
  const todo = path.split('/').filter(Boolean)
  let done: string[] = []
  for (let links = 0; todo.length > 0; ) {
    const part = todo.shift() as string
    if (part === '.') continue
    if (part === '..') {
      done.pop()
      continue
    }
    const link = readLink(`${root}/${[...done, part].join('/')}`)
    if (link === undefined) {
      done.push(part)
      continue
    }
    if (++links > 40) throw new Error(`${path}: too many symbolic links (in ${root})`)
    if (link.startsWith('/')) done = []
    todo.unshift(...link.split('/').filter(Boolean))
  }
  return done.length === 0 ? root : `${root}/${done.join('/')}`
}

function readLink(path: string): string | undefined {
  try {
    return readlinkSync(path)
  } catch {
    return undefined
  }
}
