import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Cluster } from './cluster.ts'
import { appImages, meshImages } from './images.ts'
import { createKind } from './kind/kind.ts'
import { createLab } from './lab/lab.ts'
import { newOwnerId, Registry, stateDirectory } from './registry.ts'
import type { Topology } from './topology.ts'

/** What a cluster can be made of. */
export const providers = ['lab', 'kind'] as const
export type Provider = (typeof providers)[number]

export interface CreateOptions {
  /** What is being done, one line each. */
  readonly onProgress?: (line: string) => void
  /** Ends the start early. */
  readonly signal?: AbortSignal
  /** Puts files into the cluster's own directory before its nodes start; they go with the cluster. */
  readonly prepare?: (directory: string) => void
  /** What it is for, for whoever finds it left behind. */
  readonly label?: string
  /** A folder for what tools say while they make the cluster (kind.log); @default the cluster's own directory, and gone with it */
  readonly logDirectory?: string
  /** What nodes are started from, where that can be chosen (kind); @default our own image */
  readonly nodeImage?: string
}

/**
 * A new cluster with the topology's nodes and our images on them, no mesh yet, under an owner id of its own. Disposing of it removes all of it.
 * @throws with nothing left behind
 */
export async function createCluster(provider: Provider, topology: Topology, options: CreateOptions = {}): Promise<Cluster> {
  const { onProgress = () => {}, signal, prepare, label, logDirectory, nodeImage } = options
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
  const common = { id, topology, directory, onProgress, ...(signal ? { signal } : {}) }
  const make = {
    lab: () => createLab(common),
    kind: () => createKind({ ...common, ...(logDirectory ? { logDirectory } : {}), ...(nodeImage ? { nodeImage } : {}) }),
  }
  const cluster = await make[provider]()
  try {
    await cluster.loadImages([...meshImages, ...appImages])
    return cluster
  } catch (error) {
    await cluster[Symbol.asyncDispose]()
    throw error
  }
}
