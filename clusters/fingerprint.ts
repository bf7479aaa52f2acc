import { digestOfFolders, sha256 } from './digest.ts'
import { repository } from './lab/node/root.ts'
import type { Topology } from './topology.ts'

/** What a cluster is made from: images of mesh and apps with their manifests, and the image of nodes. */
const sources = ['images', 'clusters/manifests', 'clusters/kind/node-image']

/** Of what a cluster that stays was made. When it is another one now, that cluster is not what a new one would be. */
export function fingerprintOf(topology: Topology, nodeImage: string | undefined, root = repository): string {
  return sha256(JSON.stringify([topology, nodeImage ?? 'our own', digestOfFolders(root, sources)]))
}
