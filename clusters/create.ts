import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Cluster } from './cluster.ts'
import { appImages, meshImages } from './images.ts'
import { createLab } from './lab/lab.ts'
import { newOwnerId, Registry, stateDirectory } from './registry.ts'
import type { Topology } from './topology.ts'

/**
 * A new cluster with the topology's nodes and our images on them, no mesh yet, under an owner id of its own. Disposing of it removes all of it.
 * @param onProgress what is being done, one line each
 * @param signal ends the start early
 * @throws with nothing left behind
 */
export async function createCluster(
  provider: 'lab',
  topology: Topology,
  onProgress: (line: string) => void = () => {},
  signal?: AbortSignal,
): Promise<Cluster> {
  if (provider !== 'lab') throw new Error(`provider ${JSON.stringify(provider)} is not known; fix: use lab`)
  signal?.throwIfAborted()
  const id = newOwnerId()
  const directory = join(stateDirectory(), 'files', id)
  Registry.open(id).register({ kind: 'directory', path: directory })
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  const cluster = await createLab({ id, topology, directory, onProgress, ...(signal ? { signal } : {}) })
  try {
    await cluster.loadImages([...meshImages, ...appImages])
    return cluster
  } catch (error) {
    await cluster[Symbol.asyncDispose]()
    throw error
  }
}
