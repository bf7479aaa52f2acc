import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Layer, writeLayer } from '../node-image/image-archive.ts'
import { built, cacheDirectory, digestOf, type Step } from '../node-image/step.ts'

/** Where layers are kept that do not depend on our own code. */
export const sharedCache = join(cacheDirectory(), 'images')

/** A layer that is written already, and the tree that it was written of. */
export interface StoredLayer {
  readonly layer: Layer
  readonly file: string
  readonly tree: string
  readonly key: string
}

/** Two images may ask for the same layer at the same time. */
const underWay = new Map<string, Promise<StoredLayer>>()

/**
 * A step that makes a layer of what it puts into the directory it is given, which it makes itself.
 * @param root where the result is kept
 */
export function layerStep(step: Step, root: string): Promise<StoredLayer> {
  const inputs = [step.inputs, digestOf(join(import.meta.dirname, '../node-image/image-archive.ts'))]
  const id = JSON.stringify([root, step.name, inputs])
  const layer = underWay.get(id) ?? written({ ...step, inputs }, root).finally(() => underWay.delete(id))
  underWay.set(id, layer)
  return layer
}

async function written({ name, inputs, make }: Step, root: string): Promise<StoredLayer> {
  const { directory, key } = await built(
    {
      name,
      inputs,
      make: async (into) => {
        await make(join(into, 'tree'))
        writeFileSync(join(into, 'layer.json'), JSON.stringify(await writeLayer(join(into, 'tree'), join(into, 'layer'))))
      },
    },
    root,
  )
  const layer = JSON.parse(readFileSync(join(directory, 'layer.json'), 'utf8')) as Layer
  return { layer, file: join(directory, 'layer'), tree: join(directory, 'tree'), key }
}
