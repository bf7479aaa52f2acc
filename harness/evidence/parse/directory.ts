import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { EvidenceError } from './error.ts'

/** Reads files of a bundle, named by their path in it with slashes. */
export class BundleDirectory {
  readonly path: string

  constructor(path: string) {
    this.path = path
  }

  /** A file's bytes; undefined when it is not there. Throws EvidenceError when it cannot be read. */
  read(file: string): Buffer | undefined {
    return this.#attempt(file, () => readFileSync(join(this.path, file)))
  }

  /** Names of the folders in a folder, sorted; none when it is not there. */
  folders(folder: string): string[] {
    return this.#list(folder, (entry) => entry.isDirectory())
  }

  /** Names of the files in a folder, sorted; none when it is not there. */
  files(folder: string): string[] {
    return this.#list(folder, (entry) => entry.isFile())
  }

  exists(): boolean {
    return statSync(this.path, { throwIfNoEntry: false })?.isDirectory() ?? false
  }

  #list(folder: string, wanted: (entry: { isDirectory(): boolean; isFile(): boolean }) => boolean): string[] {
    const entries = this.#attempt(folder, () => readdirSync(join(this.path, folder), { withFileTypes: true })) ?? []
    return entries
      .filter(wanted)
      .map((entry) => entry.name)
      .toSorted()
  }

  #attempt<T>(name: string, read: () => T): T | undefined {
    try {
      return read()
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException
      if (code === 'ENOENT') return undefined
      throw new EvidenceError(
        name,
        '',
        `it cannot be read: ${code ?? message}`,
        `Check ${join(this.path, name)}: its owner and mode, and that it is what its name says`,
      )
    }
  }
}
