import { cpSync, mkdirSync, rmSync } from 'node:fs'
import { dirname, join, parse, resolve } from 'node:path'
import { build } from 'vite'

const repository = resolve(import.meta.dirname, '..')

/** What cannot go into a bundle: a library that finds its native part beside itself; its files that a program needs to run, below node_modules. */
const native = {
  koffi: ['package.json', 'LICENSE.txt', 'index.js', 'src/koffi/index.js', 'src/koffi/src/static.js'],
}
const nativeParts = ['package.json', 'index.js', 'linux_x64/koffi.node'].map((file) => `@koromix/koffi-linux-x64/${file}`)

export interface Bundled {
  /** Absolute paths of all files that were read. */
  readonly files: readonly string[]
  /** Does it import what `copyNativeModules` brings? */
  readonly native: boolean
}

/**
 * Programs of this repository as JavaScript that runs where the repository is not: each one file, with all that it imports but Node's own modules and
 * koffi (`copyNativeModules`). The same source gives the same bytes.
 * @param programs file name in `directory` (such as `collector.mjs`) → path of the program from the repository's root, or an absolute one
 * @returns for each program what went into it
 * @throws Error of the bundler, which names the file
 */
export async function bundle<Output extends string>(
  programs: Readonly<Record<Output, string>>,
  directory: string,
): Promise<Record<Output, Bundled>> {
  mkdirSync(directory, { recursive: true })
  const made = {} as Record<Output, Bundled>
  for (const [output, program] of Object.entries(programs) as [Output, string][]) {
    const { base, dir } = parse(output)
    const files: string[] = []
    const built = await build({
      root: repository,
      configFile: false,
      envDir: false,
      publicDir: false,
      logLevel: 'error',
      // Not those of the output: a constant can be in it without its file.
      plugins: [{ name: 'files', moduleParsed: ({ id }) => void files.push(id) }],
      ssr: { noExternal: true, external: Object.keys(native) },
      build: {
        ssr: resolve(repository, program),
        outDir: join(directory, dir),
        emptyOutDir: false,
        target: 'node24',
        minify: false,
        // One file: what is imported only at times is in it too.
        rolldownOptions: { output: { entryFileNames: base, codeSplitting: false } },
      },
    })
    if (!('output' in built)) throw new Error(`${program}: the bundler made several bundles or goes on watching: expected one`)
    made[output] = { files: files.filter((id) => id.startsWith('/')), native: built.output[0].imports.some((name) => name in native) }
  }
  return made
}

/** Puts what bundles import by name into `directory/node_modules`, about 2 MB. */
export function copyNativeModules(directory: string): void {
  const files = [...Object.entries(native).flatMap(([name, list]) => list.map((file) => join(name, file))), ...nativeParts]
  rmSync(join(directory, 'node_modules'), { recursive: true, force: true })
  for (const file of files) {
    const to = join(directory, 'node_modules', file)
    mkdirSync(dirname(to), { recursive: true })
    cpSync(join(repository, 'node_modules', file), to, { dereference: true })
  }
}
