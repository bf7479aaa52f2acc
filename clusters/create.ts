import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Cluster } from './cluster.ts'
import { appImages, meshImages } from './images.ts'
import { createLab } from './lab/lab.ts'
import { newOwnerId, Registry, stateDirectory } from './registry.ts'
import type { Topology } from './topology.ts'

export interface CreateOptions {
  /** What is being done, one line each. */
  readonly onProgress?: (line: string) => void
  /** Ends the start early. */
  readonly signal?: AbortSignal
  /** Puts files into the cluster's own directory before its nodes start; they go with the cluster. */
  readonly prepare?: (directory: string) => void
  /** What it is for, for whoever finds it left behind. */
  readonly label?: string
}

/**
 * A new cluster with the topology's nodes and our images on them, no mesh yet, under an owner id of its own. Disposing of it removes all of it.
 * @throws with nothing left behind
 */
export async function createCluster(provider: 'lab', topology: Topology, options: CreateOptions = {}): Promise<Cluster> {
  const { onProgress = () => {}, signal, prepare, label } = options
  if (provider !== 'lab') throw new Error(`provider ${JSON.stringify(provider)} is not known; fix: use lab`)
  signal?.throwIfAborted()
  const id = newOwnerId()
  const directory = join(stateDirectory(), 'files', id)
  const registry = Registry.open(id, label)
  registry.register({ kind: 'directory', path: directory })
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 })
    prepare?.(directory)
  } catch (error) {
    await registry.teardown()
    throw error
  }
  const cluster = await createLab({ id, topology, directory, onProgress, ...(signal ? { signal } : {}) })
  try {
    await cluster.loadImages([...meshImages, ...appImages])
    return cluster
  } catch (error) {
    await cluster[Symbol.asyncDispose]()
    throw error
  }
}
