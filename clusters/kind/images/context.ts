import { cpSync, existsSync } from 'node:fs'
import { dirname, join, sep } from 'node:path'
import { bundle, copyNativeModules } from '../../bundle.ts'
import { type Built, built, digestOf } from '../node-image/step.ts'
import { normalise } from './debian.ts'
import { compileStatic } from './static-program.ts'

/** A folder with an image's code, and the program in it that its container runs. */
export interface Source {
  /** Absolute. */
  readonly folder: string
  readonly entry: string
}

/** The CNI plugin, which runs on the node and not in a container: a part of the image that has its source. */
const staticProgram = { name: 'istio-cni', source: 'plugin/static/main.ts' }

const repository = join(import.meta.dirname, '../../..')
const modules = join(repository, 'node_modules')

/**
 * What an image's Dockerfile copies from: `context` in the result, also for `docker build --file FOLDER/Dockerfile`. It depends on the folder and on `lib`
 * beside it.
 * @param root where it is kept
 * @throws Error if the program's code comes from anywhere else: a change there would not be seen
 */
export async function buildContext(name: string, { folder, entry }: Source, root: string): Promise<Built> {
  const lib = join(dirname(folder), 'lib')
  const program = existsSync(join(folder, staticProgram.source)) ? await staticPart(folder, root) : undefined
  const inputs = [
    program?.key,
    digestOf(folder),
    existsSync(lib) ? digestOf(lib) : '',
    digestOf(join(repository, 'package-lock.json')),
    entry,
  ]
  return built(
    {
      name: `context-${name}`,
      inputs: [inputs, digestOf(import.meta.filename), digestOf(join(import.meta.dirname, '../../bundle.ts'))],
      make: async (directory) => {
        const context = join(directory, 'context')
        const { 'main.mjs': main } = await bundle({ 'main.mjs': join(folder, entry) }, context)
        if (main.native) copyNativeModules(context)
        const stray = main.files.find((file) => ![folder, lib, modules].some((allowed) => file.startsWith(allowed + sep)))
        if (stray)
          throw new Error(`${join(folder, entry)} uses ${stray}: an image is made of its own folder, of images/lib and of packages`)
        if (program) cpSync(join(program.directory, staticProgram.name), join(context, staticProgram.name))
        normalise(context)
      },
    },
    root,
  )
}

function staticPart(folder: string, root: string): Promise<Built> {
  const parts = ['plugin', 'shared'].map((name) => digestOf(join(folder, name)))
  return built(
    {
      name: staticProgram.name,
      inputs: [parts, digestOf(join(import.meta.dirname, 'static-program.ts')), digestOf(join(repository, 'package-lock.json'))],
      make: (directory) => compileStatic(dirname(join(folder, staticProgram.source)), join(directory, staticProgram.name)),
    },
    root,
  )
}
