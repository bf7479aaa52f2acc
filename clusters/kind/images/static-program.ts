import { chmodSync, cpSync, globSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { execa } from 'execa'
import { build } from 'vite'
import { type Built, built, digestOf } from '../node-image/step.ts'
import { versions } from '../node-image/versions.ts'
import { withPackages } from './debian.ts'
import { sharedCache } from './layers.ts'

/** QuickJS, its compiler of JavaScript into bytecode, and what links it with the plugin's own C functions into one static program. */
const packages = ['quickjs', 'libquickjs', 'gcc', 'libc6-dev', 'libssl-dev', 'libzstd-dev', 'zlib1g-dev']
const libraries = ['/usr/lib/x86_64-linux-gnu/quickjs/libquickjs.a', '-lssl', '-lcrypto', '-lzstd', '-lz', '-lm', '-lpthread', '-ldl']

/**
 * Compiles a TypeScript program into an executable that needs nothing of where it runs: no shared library, no runtime, no file. It can import the functions
 * that the C files beside it give to QuickJS as the module `system`.
 * @param folder holds `main.ts` and the C files
 * @param file the executable
 * @throws the bundler's or compiler's error
 */
export async function compileStatic(folder: string, file: string): Promise<void> {
  const { directory: compiler } = await compilerRoot()
  const work = mkdtempSync(join(compiler, 'root/work-'))
  try {
    await build({
      configFile: false,
      envDir: false,
      publicDir: false,
      logLevel: 'error',
      build: {
        lib: { entry: join(folder, 'main.ts'), formats: ['es'], fileName: () => 'program.js' },
        outDir: work,
        emptyOutDir: false,
        minify: true,
        // What the engine knows.
        target: 'es2023',
        rolldownOptions: { external: ['system'], output: { codeSplitting: false } },
      },
    })
    const sources = globSync('*.{c,h}', { cwd: folder })
    for (const name of sources) cpSync(join(folder, name), join(work, name))
    const inside = work.slice(join(compiler, 'root').length)
    const run = (...argv: string[]) => execa('chroot', [join(compiler, 'root'), ...argv.map((word) => word.replace('WORK', inside))])
    await run('/usr/bin/qjsc', '-e', '-m', '-M', 'system,system', '-o', 'WORK/program.c', 'WORK/program.js')
    const flags = [
      '-O2',
      '-static',
      '-s',
      '-Wall',
      '-Werror',
      '-Wno-deprecated-declarations',
      '-I/usr/include/quickjs',
      '-o',
      'WORK/program',
    ]
    await run(
      '/usr/bin/gcc-14',
      ...flags,
      'WORK/program.c',
      ...sources
        .filter((name) => name.endsWith('.c'))
        .sort()
        .map((name) => `WORK/${name}`),
      ...libraries,
    )
    renameSync(join(work, 'program'), file)
    chmodSync(file, 0o755)
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

/** A root file system with the compilers: `root` in the result. */
function compilerRoot(): Promise<Built> {
  return built(
    {
      name: 'compiler',
      inputs: { debian: versions.debian, packages, script: digestOf(join(import.meta.dirname, 'debian.ts')) },
      make: async (directory) => {
        await withPackages(packages, join(directory, 'root'), async (unpacked) => renameSync(unpacked, join(directory, 'root')))
        mkdirSync(join(directory, 'root/tmp'), { recursive: true })
      },
    },
    sharedCache,
  )
}
