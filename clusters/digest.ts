import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'

export const sha256 = (bytes: string | Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

/** What is not part of what runs. */
const unused = /\.test\.ts$|\.md$|(^|\/)(fixtures|testing|testbed)\//

/**
 * The digest of what runs of some source folders: sha256 over `SHA256  PATH` and a newline for each file, sorted by path
 * (what `sha256sum` prints for them), without tests.
 * @param root paths are written relative to it
 */
export function digestOfFolders(root: string, folders: readonly string[]): string {
  const files = folders
    .flatMap((folder) => readdirSync(join(root, folder), { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile())
    .map((entry) => relative(root, join(entry.parentPath, entry.name)))
    .filter((path) => !unused.test(path))
    .sort()
  return sha256(files.map((path) => `${sha256(readFileSync(join(root, path)))}  ${path}\n`).join(''))
}
