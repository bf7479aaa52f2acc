import { createHash } from 'node:crypto'
import { copyFileSync, createReadStream, existsSync, linkSync, mkdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { execa } from 'execa'

/** A layer of an image: content-addressed, so that images which share it store it once. */
export interface Layer {
  readonly digest: string
  readonly mediaType: string
  /** Of the tar file before compression. */
  readonly diffId: string
  readonly size: number
}

export interface ArchivedImage {
  /** References such as `registry.k8s.io/pause:3.10`. */
  readonly names: readonly string[]
  readonly layers: readonly Layer[]
  readonly config: {
    readonly Entrypoint?: readonly string[]
    readonly Env?: readonly string[]
    readonly User?: string
    readonly StopSignal?: string
    readonly Labels?: Readonly<Record<string, string>>
  }
}

/** Options that make equal trees equal tar files. */
export const reproducibleTar = ['--sort=name', '--mtime=@0', '--owner=0', '--group=0', '--numeric-owner', '--format=gnu']

const sha256 = async (file: string) => {
  const hash = createHash('sha256')
  await pipeline(createReadStream(file), hash)
  return hash.digest('hex')
}

const layerType = 'application/vnd.oci.image.layer.v1.tar'

/** Writes a layer of everything below `tree`. Compressed, it costs time here and saves space wherever it is kept. */
export async function writeLayer(tree: string, file: string, { compressed = true } = {}): Promise<Layer> {
  await execa('tar', [...reproducibleTar, '-C', tree, '-cf', file, '.'])
  const diffId = `sha256:${await sha256(file)}`
  if (!compressed) return { diffId, mediaType: layerType, digest: diffId, size: statSync(file).size }
  await execa('gzip', ['--no-name', '--fast', file])
  renameSync(`${file}.gz`, file)
  return { diffId, mediaType: `${layerType}+gzip`, digest: `sha256:${await sha256(file)}`, size: statSync(file).size }
}

/** Images as one archive: in the OCI image layout (OCI image-spec, image-layout.md) for `ctr images import`, with the index that `docker load` reads. */
export class ImageArchive {
  readonly #blobs: string
  readonly #directory: string
  readonly #manifests: object[] = []
  readonly #forDocker: object[] = []

  /** @param directory empty; the layout is written there */
  constructor(directory: string) {
    this.#directory = directory
    this.#blobs = join(directory, 'blobs/sha256')
    mkdirSync(this.#blobs, { recursive: true })
    writeFileSync(join(directory, 'oci-layout'), JSON.stringify({ imageLayoutVersion: '1.0.0' }))
  }

  /** A layer of everything below `tree`. */
  async layer(tree: string, options: { readonly compressed?: boolean } = {}): Promise<Layer> {
    const file = join(this.#blobs, 'layer')
    const layer = await writeLayer(tree, file, options)
    renameSync(file, this.#path(layer))
    return layer
  }

  /** A layer that was written before; its file stays where it is. */
  add(layer: Layer, file: string): void {
    const path = this.#path(layer)
    if (existsSync(path)) return
    try {
      linkSync(file, path)
    } catch {
      // On another file system.
      copyFileSync(file, path)
    }
  }

  /** @returns the digest of the image's configuration: Docker's and containerd's id of the image */
  async image({ names, layers, config }: ArchivedImage): Promise<string> {
    const configBlob = await this.#json({
      architecture: 'amd64',
      os: 'linux',
      config,
      rootfs: { type: 'layers', diff_ids: layers.map((l) => l.diffId) },
    })
    const manifest = await this.#json({
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      config: { mediaType: 'application/vnd.oci.image.config.v1+json', ...configBlob },
      layers: layers.map(({ mediaType, digest, size }) => ({ mediaType, digest, size })),
    })
    for (const name of names)
      this.#manifests.push({
        mediaType: 'application/vnd.oci.image.manifest.v1+json',
        ...manifest,
        annotations: { 'io.containerd.image.name': name },
      })
    const path = ({ digest }: { digest: string }) => `blobs/${digest.replace(':', '/')}`
    this.#forDocker.push({ Config: path(configBlob), RepoTags: names, Layers: layers.map(path) })
    return configBlob.digest
  }

  /** Writes the archive; the layout is gone afterwards. */
  async write(file: string): Promise<void> {
    const index = { schemaVersion: 2, mediaType: 'application/vnd.oci.image.index.v1+json', manifests: this.#manifests }
    writeFileSync(join(this.#directory, 'index.json'), JSON.stringify(index))
    writeFileSync(join(this.#directory, 'manifest.json'), JSON.stringify(this.#forDocker))
    await execa('tar', [...reproducibleTar, '-C', this.#directory, '-cf', file, 'oci-layout', 'index.json', 'manifest.json', 'blobs'])
    rmSync(this.#directory, { recursive: true })
  }

  async #json(value: object): Promise<{ digest: string; size: number }> {
    const file = join(this.#blobs, 'new.json')
    writeFileSync(file, JSON.stringify(value))
    return this.#blob(file)
  }

  /** Gives a file in the blobs its name. */
  async #blob(file: string): Promise<{ digest: string; size: number }> {
    const blob = { digest: `sha256:${await sha256(file)}`, size: statSync(file).size }
    renameSync(file, this.#path(blob))
    return blob
  }

  #path({ digest }: { readonly digest: string }): string {
    return join(this.#blobs, digest.slice('sha256:'.length))
  }
}
