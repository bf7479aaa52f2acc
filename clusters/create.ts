import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Cluster } from './cluster.ts'
import { appImages, meshImages } from './images.ts'
import { createLab } from './lab/lab.ts'
import { newOwnerId, stateDirectory } from './registry.ts'
import type { Topology } from './topology.ts'

/** Starts a cluster of the named provider with our images on its nodes; no mesh yet. Throws with nothing left behind. */
export async function createCluster(_provider: 'lab', topology: Topology, onProgress: (line: string) => void): Promise<Cluster> {
  const id = newOwnerId()
  const directory = join(stateDirectory(), 'files', id)
  mkdirSync(directory, { recursive: true })
  const cluster = await createLab({ id, topology, directory, onProgress })
  try {
    await cluster.loadImages([...meshImages, ...appImages])
    return cluster
  } catch (error) {
    await cluster[Symbol.asyncDispose]()
    throw error
  }
}
