import { createHash } from 'node:crypto'
import { createReadStream, mkdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
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

  /** A layer of everything below `tree`. Compressed, it costs time here and saves space wherever it is kept. */
  async layer(tree: string, { compressed = true } = {}): Promise<Layer> {
    const tar = join(this.#blobs, 'layer.tar')
    await execa('tar', [...reproducibleTar, '-C', tree, '-cf', tar, '.'])
    const diffId = `sha256:${await sha256(tar)}`
    if (!compressed) return { diffId, mediaType: layerType, ...(await this.#blob(tar)) }
    await execa('gzip', ['--no-name', '--fast', tar])
    return { diffId, mediaType: `${layerType}+gzip`, ...(await this.#blob(`${tar}.gz`)) }
  }

  async image({ names, layers, config }: ArchivedImage): Promise<void> {
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
    const digest = await sha256(file)
    const { size } = statSync(file)
    renameSync(file, join(this.#blobs, digest))
    return { digest: `sha256:${digest}`, size }
  }
}
