import type { Docker } from './docker/docker.ts'

/** On an image in a node's containerd: the digest of its configuration, which is what it is made of. */
const digestLabel = 'everyhop/digest'

const ctr = 'ctr --namespace k8s.io images'

/** Images in one archive (OCI image layout). */
export interface ImageArchiveFile {
  readonly archive: string
  readonly images: readonly {
    /** Reference as in a pod's spec. */
    readonly name: string
    readonly digest: string
  }[]
}

/** As Kubernetes and containerd call it: with its registry (the first part of a name is one when it has a dot or a colon). */
export function fullName(reference: string): string {
  const parts = reference.split('/')
  const hasRegistry = parts.length > 1 && (/[.:]/.test(parts[0]!) || parts[0] === 'localhost')
  if (hasRegistry) return reference
  return parts.length === 1 ? `docker.io/library/${reference}` : `docker.io/${reference}`
}

/** Of the images those that a node lacks, by what its `ctr images ls` says. */
export function lacking(images: ImageArchiveFile['images'], list: string): ImageArchiveFile['images'] {
  const lines = list.split('\n').map((line) => line.split(/[\s,]+/))
  return images.filter(
    ({ name, digest }) => !lines.some(([ref, ...rest]) => ref === fullName(name) && rest.includes(`${digestLabel}=${digest}`)),
  )
}

/** Copies an archive's images to nodes, all nodes at once; a node that has them all already is left alone. @throws DockerError when a node does not take it */
export async function loadArchive(docker: Docker, containers: readonly string[], { archive, images }: ImageArchiveFile): Promise<void> {
  await Promise.all(
    containers.map(async (container) => {
      const missing = lacking(images, await docker.run(['exec', container, ...ctr.split(' '), 'ls']))
      if (missing.length === 0) return
      const take = [...ctr.split(' '), 'import', '--all-platforms', '--snapshotter', 'overlayfs', '-']
      await docker.run(['exec', '--privileged', '--interactive', container, ...take], { inputFile: archive })
      // Kubelet asks for the full name.
      const names = images.flatMap(({ name, digest }) => [
        ...(fullName(name) === name ? [] : [`${ctr} tag --force ${name} ${fullName(name)} >&2`, `${ctr} rm ${name} >&2`]),
        `${ctr} label ${fullName(name)} ${digestLabel}=${digest} >&2`,
      ])
      await docker.run(['exec', '--privileged', container, 'sh', '-ec', names.join('\n')])
    }),
  )
}
