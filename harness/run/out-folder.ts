import { accessSync, constants, existsSync, mkdirSync, readdirSync, statSync } from 'node:fs'
import { dirname, resolve } from 'node:path'

/** A folder that cannot take a run: which, why, and the fix. */
export class OutFolderError extends Error {
  override name = 'OutFolderError'
}

/** Makes the folder of a run, with its parents. One that holds something already is refused: evidence of two runs must not mix. @returns its absolute path */
export function makeOutFolder(path: string): string {
  const folder = makeFolder(path)
  if (readdirSync(folder).length > 0)
    throw new OutFolderError(`${folder} is not empty; fix: choose another folder with --out, or remove what is in it`)
  return folder
}

/**
 * Makes a folder that may hold something already, with its parents, and sees that it can be written to.
 * Folder by folder, because Node's recursive mkdir never returns where a parent cannot be made, as under /proc.
 * @returns its absolute path
 */
export function makeFolder(path: string): string {
  // What a variable that is not set leaves would be the folder one stands in.
  if (path === '') throw new OutFolderError('--out has no folder; fix: name one, or leave --out away')
  const folder = resolve(path)
  const missing: string[] = []
  for (let at = folder; !existsSync(at); at = dirname(at)) missing.unshift(at)
  try {
    for (const each of missing) mkdirSync(each)
    if (!statSync(folder).isDirectory()) throw new Error('it is a file')
    accessSync(folder, constants.W_OK | constants.X_OK | constants.R_OK)
  } catch (error) {
    throw new OutFolderError(`${folder} cannot be used: ${(error as Error).message}; fix: choose another folder with --out`)
  }
  return folder
}
