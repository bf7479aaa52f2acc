import { createHash } from 'node:crypto'
import { cpSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { execa } from 'execa'
import { GenericContainer } from 'testcontainers'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { appImages, meshImages } from '../../images.ts'
import type { Docker } from '../docker/docker.ts'
import { findDocker } from '../docker/find-docker.ts'
import { buildBases, buildImages, contextOf } from './build-images.ts'
import { readDockerfile } from './dockerfile.ts'
import { forTestcontainers } from './testing/docker-images.ts'

const repository = join(import.meta.dirname, '../../..')
const all = [...meshImages, ...appImages]
const names = all.map(({ source }) => basename(source))
const builders = ['classic', 'buildkit'] as const
const prefix = `everyhop-dockerfile-${process.pid}/`

let docker: Docker
let directory: string
let saved: { Config: string; RepoTags: string[]; Layers: string[] }[]
beforeAll(async () => {
  docker = await findDocker()
  forTestcontainers(docker)
  directory = mkdtempSync(join(tmpdir(), 'everyhop-dockerfile-'))
  const ours = await buildImages(all.map((image) => ({ ...image, name: `everyhop-dockerfile/ours-${basename(image.source)}:dev` })))
  for (const archive of [ours.archive, await buildBases('everyhop-dockerfile/')]) await docker.run(['load', '--input', archive])
  for (const image of all) {
    const name = basename(image.source)
    const file = join(repository, image.source, 'Dockerfile')
    const { base } = readDockerfile(readFileSync(file, 'utf8'), file)
    // Docker takes the Dockerfile from the context that it is sent.
    const context = join(directory, `context-${name}`)
    await execa('cp', ['-a', join((await contextOf(image)).directory, 'context'), context])
    cpSync(file, join(context, 'Dockerfile'))
    for (const builder of builders) {
      const build = GenericContainer.fromDockerfile(context)
        .withCache(false)
        .withBuildArgs({ BASE: `everyhop-dockerfile/${base}` })
      if (builder === 'buildkit') build.withBuildkit()
      await build.build(`${prefix}${builder}-${name}:latest`, { deleteOnExit: false })
    }
    await docker.run(['tag', `everyhop-dockerfile/ours-${name}:dev`, `${prefix}ours-${name}`])
  }
  // One file: what they share is in it once.
  const tags = names.flatMap((name) => ['ours', ...builders].map((builder) => `${prefix}${builder}-${name}`))
  await docker.run(['save', '--output', join(directory, 'images.tar'), ...tags])
  await execa('tar', ['-C', directory, '-xf', join(directory, 'images.tar')])
  saved = JSON.parse(readFileSync(join(directory, 'manifest.json'), 'utf8'))
})
afterAll(async () => {
  const tags = (await docker.lines(['images', '--format', '{{.Repository}}:{{.Tag}}'])).filter((tag) =>
    tag.startsWith('everyhop-dockerfile'),
  )
  if (tags.length > 0) await docker.run(['rmi', ...tags])
  rmSync(directory, { recursive: true, force: true })
})

/** An image's configuration as far as a container notices it, its layers, and the files that lie on top of the base. */
async function contentOf(builder: string, name: string, copies: number) {
  const image = saved.find(({ RepoTags }) => RepoTags.includes(`${prefix}${builder}-${name}:latest`))!
  const {
    config,
    rootfs,
    history = [],
  } = JSON.parse(readFileSync(join(directory, image.Config), 'utf8')) as {
    config: Record<string, unknown>
    rootfs: { diff_ids: string[] }
    history?: { comment?: string }[]
  }
  // Who has made it says so.
  expect(history.some(({ comment }) => comment?.startsWith('buildkit'))).toBe(builder === 'buildkit')
  const { Entrypoint, Env, User, Cmd, WorkingDir, Volumes, ExposedPorts } = config
  const tree = join(directory, `${builder}-${name}`)
  mkdirSync(tree)
  for (const layer of image.Layers.slice(-copies)) await execa('tar', ['-C', tree, '--numeric-owner', '-pxf', join(directory, layer)])
  // Nothing and an empty value are the same to a container.
  const started = {
    Entrypoint,
    Env,
    User,
    Cmd: Cmd ?? null,
    WorkingDir: WorkingDir || '',
    Volumes: Volumes ?? null,
    ExposedPorts: ExposedPorts ?? null,
  }
  return { started, below: rootfs.diff_ids.slice(0, -copies), files: filesOf(tree) }
}

function filesOf(tree: string): Record<string, string> {
  const paths = readdirSync(tree, { recursive: true, encoding: 'utf8' }).sort()
  return Object.fromEntries(
    paths.map((path) => {
      const found = lstatSync(join(tree, path))
      const { mode, uid, gid, mtimeMs } = found
      const content = found.isSymbolicLink()
        ? readlinkSync(join(tree, path))
        : found.isDirectory()
          ? ''
          : `${mtimeMs} ${createHash('sha256')
              .update(readFileSync(join(tree, path)))
              .digest('hex')}`
      return [path, `${mode.toString(8)} ${uid}:${gid} ${content}`]
    }),
  )
}

test.each(names)('%s: what we build is what Docker makes of its Dockerfile', async (name) => {
  const file = join(repository, 'images', name, 'Dockerfile')
  const copies = readDockerfile(readFileSync(file, 'utf8'), file).copies.length
  const ours = await contentOf('ours', name, copies)
  expect(ours.below.length).toBeGreaterThanOrEqual(2)
  expect(Object.keys(ours.files)).toContain('app/main.mjs')
  for (const builder of builders) expect(await contentOf(builder, name, copies)).toEqual(ours)
})
