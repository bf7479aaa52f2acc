import type { Image } from './cluster.ts'
import { image } from './manifests/names.ts'

/** What the mesh's images are made of. */
export const meshImages: readonly Image[] = [
  { name: image.cni, source: 'images/cni', entry: 'agent/main.ts' },
  { name: image.ztunnel, source: 'images/ztunnel', entry: 'main.ts' },
  { name: image.discovery, source: 'images/discovery', entry: 'main.ts' },
]

/** What the apps' images are made of. */
export const appImages: readonly Image[] = [
  { name: image.sleep, source: 'images/sleep', entry: 'main.ts' },
  { name: image.httpbin, source: 'images/httpbin', entry: 'main.ts' },
]
