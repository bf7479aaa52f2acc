import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { processesOf } from '../processes.ts'
import { clean, newOwnerId } from '../registry.ts'
import { createKind } from './kind.ts'
import { ensureNodeImage } from './node-image.ts'
import { partsOf } from './remove.ts'
import { KindTests } from './testing/kind-tests.ts'

const kind = new KindTests()

describe('nothing half made', () => {
  test('a network of the same name that is not ours is never touched', async () => {
    const id = newOwnerId()
    await kind.docker.run(['network', 'create', id])
    try {
      await expect(createKind(kind.optionsOf(id))).rejects.toThrow(
        `Docker has something called ${id} that is not ours: ${id}; fix: remove or rename it`,
      )
      expect((await partsOf(kind.docker, id)).networks).toEqual([id])
    } finally {
      await kind.docker.run(['network', 'rm', id])
    }
    expect(existsSync(join(kind.state, 'files', id))).toBe(false)
  })

  test('an image that is no node image is refused before anything is made', async () => {
    const id = newOwnerId()
    const image = `everyhop/empty:${process.pid}`
    await kind.docker.run(['import', '/dev/null', image])
    try {
      await expect(createKind(kind.optionsOf(id, { nodeImage: image }))).rejects.toThrow(`${image} is no node image for kind`)
    } finally {
      await kind.docker.run(['rmi', image])
    }
    expect(await kind.left(id)).toEqual([])
  })

  /** Our node image with one thing changed by a command in it. @returns its name; gone after the test */
  async function changedImage(name: string, script: string, ...changes: string[]): Promise<string> {
    const container = `everyhop-${name}-${process.pid}`
    const image = `everyhop/${name}:${process.pid}`
    const { reference } = await ensureNodeImage(kind.docker, undefined, () => {})
    onTestFinished(async () => {
      await kind.docker.run(['rm', '--force', '--volumes', container])
      await kind.docker.run(['rmi', '--force', image])
    })
    await kind.docker.run(['run', '--name', container, '--network', 'none', '--entrypoint', 'sh', reference, '-ec', script])
    await kind.docker.run(['commit', ...changes.flatMap((change) => ['--change', change]), container, image])
    return image
  }

  test('a node image of a Kubernetes that is too old is refused before anything is made', async () => {
    const id = newOwnerId()
    const nodeImage = await changedImage('old', 'printf v1.20.3 >/kind/version')
    await expect(createKind(kind.optionsOf(id, { nodeImage }))).rejects.toThrow(
      `node image ${nodeImage} is of Kubernetes v1.20.3; fix: use an image of Kubernetes 1.29 or newer`,
    )
    expect(await kind.left(id)).toEqual([])
  })

  test('an image that does not start: what it said last, where the log is, and nothing left', async () => {
    const id = newOwnerId()
    const nodeImage = await changedImage('broken', 'true', 'ENTRYPOINT ["sh", "-c", "echo no init here; exit 1"]')
    const failure = await createKind(kind.optionsOf(id, { nodeImage })).then(
      () => 'it stands',
      (error: Error) => error.message,
    )
    expect(failure).toMatch(/^kind create cluster ended with exit code 1:\n/)
    expect(failure).toContain(`\n${id}-control-plane:\nno init here\n`)
    expect(failure).toMatch(/\n {2}fix: see \S+kind\.log$/)
    expect(readFileSync(join(kind.state, 'kind.log'), 'utf8')).toContain(`Creating cluster "${id}"`)
    expect(await kind.left(id)).toEqual([])
    expect(existsSync(join(kind.state, 'files', id))).toBe(false)
  })

  test.each([
    ['when its first container comes', ['--all'], 1],
    ['when its nodes run', [], 3],
  ])('killed in the middle of its making, %s, it is removed by clean', async (_, which, count) => {
    const id = newOwnerId()
    const maker = spawn(process.execPath, ['--v8-pool-size=0', join(import.meta.dirname, 'testing/make.ts'), id], {
      stdio: ['ignore', 'ignore', 'inherit'],
      env: process.env,
    })
    const ended = once(maker, 'exit')
    const containers = () => kind.docker.lines(['ps', ...which, '--quiet', '--filter', `name=^${id}-`])
    await expect.poll(async () => (await containers()).length, { timeout: 60_000, interval: 20 }).toBeGreaterThanOrEqual(count)
    maker.kill('SIGKILL')
    await ended
    // Those that only came may go again: their maker is dead.
    const volumes = count === 3 ? await kind.volumesOf(id) : []
    expect(volumes).toHaveLength(count === 3 ? 3 : 0)
    const report = await clean([id])
    expect(report.failed).toEqual([])
    expect(report.cleaned[0]!.removed).toContain(`network ${id}`)
    if (count === 3) expect(report.cleaned[0]!.removed.filter((line) => line.startsWith('container '))).toHaveLength(3)
    expect(await kind.left(id, volumes)).toEqual([])
    expect(processesOf(id)).toEqual([])
    expect(readFileSync('/proc/mounts', 'utf8')).not.toContain(id)
    expect(existsSync(join(kind.state, `${id}.jsonl`))).toBe(false)
    expect(existsSync(join(kind.state, 'files', id))).toBe(false)
  })
})
