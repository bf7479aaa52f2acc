import { cpSync, mkdirSync, rmSync } from 'node:fs'
import { dirname, join, parse, resolve } from 'node:path'
import { build } from 'vite'

const repository = resolve(import.meta.dirname, '..')

/** What cannot go into a bundle: a library that finds its native part beside itself; its files that a program needs to run, below node_modules. */
const native = {
  koffi: ['package.json', 'LICENSE.txt', 'index.js', 'src/koffi/index.js', 'src/koffi/src/static.js'],
}
const nativeParts = ['package.json', 'index.js', 'linux_x64/koffi.node'].map((file) => `@koromix/koffi-linux-x64/${file}`)

/**
 * Programs of this repository as JavaScript that runs where the repository is not: each one file, with all that it imports but Node's own modules and
 * koffi (`copyNativeModules`). The same source gives the same bytes.
 * @param programs file name in `directory` (such as `collector.mjs`) → path of the program from the repository's root
 * @throws Error of the bundler, which names the file
 */
export async function bundle(programs: Readonly<Record<string, string>>, directory: string): Promise<void> {
  mkdirSync(directory, { recursive: true })
  for (const [output, program] of Object.entries(programs)) {
    const { base, dir } = parse(output)
    await build({
      root: repository,
      configFile: false,
      envDir: false,
      publicDir: false,
      logLevel: 'error',
      ssr: { noExternal: true, external: Object.keys(native) },
      build: {
        ssr: join(repository, program),
        outDir: join(directory, dir),
        emptyOutDir: false,
        target: 'node24',
        minify: false,
        // One file: what is imported only at times is in it too.
        rolldownOptions: { output: { entryFileNames: base, codeSplitting: false } },
      },
    })
  }
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
