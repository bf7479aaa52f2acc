import { join } from 'node:path'
import type { Docker } from './docker/docker.ts'
import { nodeImage, nodeImageName } from './node-image/node-image.ts'

/** What nodes are made of. */
export interface NodeImage {
  /** Reference in Docker. */
  readonly reference: string
  /** Of Kubernetes, such as `v1.34.4`. */
  readonly version: string
  /** Digest of what it is made of. */
  readonly id: string
}

/** What our manifests and the network need of a node's Kubernetes (native sidecars, server-side apply, EndpointSlices). */
const oldest = [1, 29] as const

/**
 * The image that nodes are started from, in Docker.
 * @param given a reference that the user names; @default our own, built without a registry when its inputs have changed
 * @throws Error with the fix
 */
export async function ensureNodeImage(docker: Docker, given: string | undefined, onProgress: (line: string) => void): Promise<NodeImage> {
  if (given === undefined) return ownImage(docker, onProgress)
  if (!(await idOf(docker, given))) {
    onProgress(`pulling ${given}`)
    await docker.run(['pull', '--quiet', given]).catch((error: Error) => {
      throw new Error(
        `node image ${given} is not in Docker and cannot be pulled (${error.message}); fix: docker load it, or leave --node-image out`,
      )
    })
  }
  return { reference: given, id: (await idOf(docker, given))!, version: await versionOf(docker, given) }
}

async function ownImage(docker: Docker, onProgress: (line: string) => void): Promise<NodeImage> {
  const { directory, key } = await nodeImage((line) => onProgress(`node image: ${line}`))
  const [repository = '', version = ''] = nodeImageName.split(':')
  const reference = `${repository}:${version}-${key}`
  const there = await idOf(docker, reference)
  if (there) return { reference, version, id: there }
  onProgress('node image: loading it into Docker')
  await docker.run(['load', '--quiet', '--input', join(directory, 'node.tar')])
  await docker.run(['tag', nodeImageName, reference])
  const id = (await idOf(docker, reference))!
  // Those before this one; an image that a cluster still runs on stays without a name until that ends.
  const others = await docker.lines(['images', '--format', '{{.Repository}}:{{.Tag}}', repository])
  await Promise.all(others.filter((name) => name !== reference).map((name) => docker.run(['rmi', '--force', name])))
  return { reference, version, id }
}

async function idOf(docker: Docker, reference: string): Promise<string | undefined> {
  return (await docker.lines(['images', '--quiet', '--no-trunc', reference]))[0]
}

/** @throws Error when it is no node image, or of a Kubernetes that is too old */
async function versionOf(docker: Docker, reference: string): Promise<string> {
  const fix = `fix: use an image of Kubernetes ${oldest.join('.')} or newer, or leave --node-image out`
  const version = await docker
    .run(['run', '--rm', '--network', 'none', '--entrypoint', 'cat', reference, '/kind/version'])
    .catch((error: Error) => {
      throw new Error(`${reference} is no node image for kind: it has no readable /kind/version (${error.message}); ${fix}`)
    })
  const [major = 0, minor = 0] = (/^v(\d+)\.(\d+)\./.exec(version)?.slice(1) ?? []).map(Number)
  if (major < oldest[0] || (major === oldest[0] && minor < oldest[1]))
    throw new Error(`node image ${reference} is of Kubernetes ${version.trim() || '(none)'}; ${fix}`)
  return version.trim()
}
