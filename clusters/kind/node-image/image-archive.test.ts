import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { execa } from 'execa'
import { beforeEach, expect, onTestFinished, test } from 'vitest'
import { ImageArchive } from './image-archive.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'everyhop-archive-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  for (const tree of ['base', 'own']) {
    mkdirSync(join(folder, tree, 'usr'), { recursive: true })
    writeFileSync(join(folder, tree, 'usr', tree), tree.repeat(100))
  }
})

/** Two images that share a layer. */
async function archiveNamed(name: string): Promise<string> {
  const archive = new ImageArchive(join(folder, `${name}-layout`))
  const base = await archive.layer(join(folder, 'base'))
  const own = await archive.layer(join(folder, 'own'), { compressed: false })
  await archive.image({ names: ['registry.k8s.io/one:v1', 'registry.k8s.io/one:v2'], layers: [base], config: { Entrypoint: ['/one'] } })
  await archive.image({ names: ['everyhop/two:v1'], layers: [base, own], config: { StopSignal: 'SIGRTMIN+3' } })
  const file = join(folder, `${name}.tar`)
  await archive.write(file)
  return file
}

async function opened(file: string): Promise<string> {
  const into = join(folder, 'opened')
  mkdirSync(into)
  await execa('tar', ['-C', into, '-xf', file])
  return into
}

const sha256 = (bytes: Buffer) => `sha256:${createHash('sha256').update(bytes).digest('hex')}`

test('every blob is what its name says, and a shared layer is there once', async () => {
  const blobs = join(await opened(await archiveNamed('a')), 'blobs/sha256')
  const names = readdirSync(blobs)
  // Two layers, two configurations, two manifests.
  expect(names).toHaveLength(6)
  for (const name of names) expect(sha256(readFileSync(join(blobs, name)))).toBe(`sha256:${name}`)
})

test('containerd and Docker find the same images by their names, with the layers that make them up', async () => {
  const at = await opened(await archiveNamed('a'))
  const json = (path: string) => JSON.parse(readFileSync(join(at, path), 'utf8'))
  const blob = (digest: string) => `blobs/${digest.replace(':', '/')}`
  const index = json('index.json').manifests as { digest: string; annotations: Record<string, string> }[]
  const docker = json('manifest.json') as { Config: string; RepoTags: string[]; Layers: string[] }[]
  expect(index.map((m) => m.annotations['io.containerd.image.name'])).toEqual(docker.flatMap((m) => m.RepoTags))
  for (const { digest, annotations } of index) {
    const manifest = json(blob(digest)) as { config: { digest: string }; layers: { digest: string; size: number; mediaType: string }[] }
    const same = docker.find((m) => m.RepoTags.includes(annotations['io.containerd.image.name']!))!
    expect([same.Config, same.Layers]).toEqual([blob(manifest.config.digest), manifest.layers.map((l) => blob(l.digest))])
    const uncompressed = manifest.layers.map((l) => {
      const bytes = readFileSync(join(at, blob(l.digest)))
      expect(bytes.length).toBe(l.size)
      return sha256(l.mediaType.endsWith('+gzip') ? gunzipSync(bytes) : bytes)
    })
    expect(json(blob(manifest.config.digest)).rootfs.diff_ids).toEqual(uncompressed)
  }
  expect(json(docker[1]!.Config).config).toEqual({ StopSignal: 'SIGRTMIN+3' })
})

test('the same trees give the same bytes, whenever they were written', async () => {
  const first = readFileSync(await archiveNamed('a'))
  writeFileSync(join(folder, 'base/usr/base'), 'base'.repeat(100))
  expect(readFileSync(await archiveNamed('b')).equals(first)).toBe(true)
})
