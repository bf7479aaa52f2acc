import { createHash } from 'node:crypto'
import { cpSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { basename, isAbsolute, join } from 'node:path'
import type { Image } from '../../cluster.ts'
import { ImageArchive } from '../node-image/image-archive.ts'
import { type Built, built, digestOf } from '../node-image/step.ts'
import { bases } from './base.ts'
import { buildContext } from './context.ts'
import { normalise } from './debian.ts'
import { type ImageConfig, type Recipe, readDockerfile } from './dockerfile.ts'
import { layerStep, type StoredLayer } from './layers.ts'

const repository = join(import.meta.dirname, '../../..')

const ownCache = join(repository, '.everyhop/images')

export interface BuiltImages {
  /** All the images in one file, shared layers once: for `ctr images import`, `kind load image-archive` and `docker load`. */
  readonly archive: string
  readonly images: readonly BuiltImage[]
}

export interface BuiltImage {
  /** Reference as in a pod's spec. */
  readonly name: string
  /** Of its configuration, what Docker and containerd call the image's id: equal if and only if the images are. */
  readonly digest: string
  /** Bytes of its layers as they are stored and sent, compressed. */
  readonly size: number
}

export interface BuildOptions {
  /** Where contexts, layers of our own code and the archive are kept; another one for patched copies, so that the two do not replace each other. */
  readonly cache?: string
  /** What took a second or more, one line each. */
  readonly onProgress?: (line: string) => void
}

/**
 * Builds images without a Docker daemon, by doing what their Dockerfiles say (the words it knows: `readDockerfile`). The same sources give the same bytes;
 * what was built from the same inputs before costs nothing. The first time it needs root and mmdebstrap, for what is taken from Debian.
 * @throws DockerfileError; Error naming the file that COPY does not find; rolldown's or mmdebstrap's error
 */
export async function buildImages(images: readonly Image[], options: BuildOptions = {}): Promise<BuiltImages> {
  const { cache = ownCache, onProgress = () => {} } = options
  const parts = await Promise.all(images.map((image) => timed(image.name, onProgress, imageParts(image, cache))))
  const { archive, digests } = await archiveOf(parts, cache)
  return {
    archive,
    images: parts.map(({ name, layers }, i) => ({ name, digest: digests[i]!, size: layers.reduce((sum, l) => sum + l.layer.size, 0) })),
  }
}

/** @returns the archive, and the digest of each image's configuration */
async function archiveOf(parts: readonly Parts[], cache: string): Promise<{ archive: string; digests: string[] }> {
  const inputs = parts.map(({ name, layers, config }) => ({ name, layers: layers.map((l) => l.layer.digest), config }))
  const { directory } = await built(
    {
      // Archives of other names stand beside each other.
      name: `archive-${createHash('sha256')
        .update(parts.map((p) => p.name).join())
        .digest('hex')
        .slice(0, 8)}`,
      inputs: [inputs, digestOf(join(import.meta.dirname, '../node-image/image-archive.ts'))],
      make: async (into) => {
        const archive = new ImageArchive(join(into, 'layout'))
        const digests: string[] = []
        for (const { name, layers, config } of parts) {
          for (const { layer, file } of layers) archive.add(layer, file)
          digests.push(await archive.image({ names: [name], layers: layers.map((l) => l.layer), config }))
        }
        await archive.write(join(into, 'images.tar'))
        writeFileSync(join(into, 'digests.json'), JSON.stringify(digests))
      },
    },
    cache,
  )
  const digests = JSON.parse(readFileSync(join(directory, 'digests.json'), 'utf8')) as string[]
  return { archive: join(directory, 'images.tar'), digests }
}

/** The images that Dockerfiles name as their base, as an archive for `docker load`. @param prefix goes before their names */
export async function buildBases(prefix = '', cache = ownCache): Promise<string> {
  const parts = await Promise.all(
    Object.entries(bases).map(async ([name, layers]) => {
      const { layers: stored, Env } = await layers()
      return { name: `${prefix}${name}`, layers: stored, config: { Env } }
    }),
  )
  return (await archiveOf(parts, cache)).archive
}

/** What the image's Dockerfile copies from: `context` in the result. */
export function contextOf(image: Image, cache = ownCache): Promise<Built> {
  const folder = folderOf(image)
  return buildContext(basename(folder), { folder, entry: image.entry }, cache)
}

const folderOf = ({ source }: Image) => (isAbsolute(source) ? source : join(repository, source))

interface Parts {
  readonly name: string
  readonly layers: readonly StoredLayer[]
  readonly config: Partial<ImageConfig>
}

async function imageParts(image: Image, cache: string): Promise<Parts> {
  const folder = folderOf(image)
  const short = basename(folder)
  const dockerfile = join(folder, 'Dockerfile')
  const recipe = readDockerfile(readFileSync(dockerfile, 'utf8'), dockerfile)
  const base = await bases[recipe.base]?.()
  if (!base) throw new Error(`${dockerfile}: the base is ${recipe.base}: expected ${Object.keys(bases).join(' or ')}`)
  const context = await contextOf(image, cache)
  const copies = recipe.copies.map((copy, i) =>
    layerStep(
      {
        name: `layer-${short}-${i}`,
        inputs: [context.key, copy, digestOf(import.meta.filename)],
        make: async (tree) => {
          mkdirSync(tree)
          doCopy(copy, join(context.directory, 'context'), tree, dockerfile)
          normalise(tree)
        },
      },
      cache,
    ),
  )
  const { config } = recipe
  return {
    name: image.name,
    layers: [...base.layers, ...(await Promise.all(copies))],
    config: { ...config, Env: [...base.Env, ...config.Env] },
  }
}

/** Docker's COPY: of a directory its contents, of a file the file, into a target that ends in `/` under its own name. */
function doCopy({ sources, target }: Recipe['copies'][number], context: string, tree: string, dockerfile: string): void {
  for (const source of sources) {
    const from = join(context, source)
    const found = statSync(from, { throwIfNoEntry: false })
    if (!found) throw new Error(`${dockerfile}: COPY ${source}: the build context holds no such file`)
    const to = join(tree, target, target.endsWith('/') && !found.isDirectory() ? basename(source) : '')
    mkdirSync(join(to, '..'), { recursive: true })
    cpSync(from, to, { recursive: true })
  }
}

async function timed<T>(what: string, tell: (line: string) => void, work: Promise<T>): Promise<T> {
  const started = performance.now()
  const result = await work
  const seconds = (performance.now() - started) / 1000
  if (seconds >= 1) tell(`built ${what} (${seconds.toFixed(0)} s)`)
  return result
}
