import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import * as daemon from './daemon.ts'
import { Docker } from './docker.ts'
import { findDocker, NoDockerError, usersDocker } from './find-docker.ts'

vi.mock(import('./daemon.ts'), async (original) => ({
  ...(await original()),
  startDaemon: vi.fn(() => Promise.resolve(new Docker({ host: 'ours' }))),
}))
// Tools are looked for on this path alone.
vi.mock(import('./docker.ts'), async (original) => ({ ...(await original()), searchPath: () => process.env.PATH ?? '' }))

let bin: string
beforeEach(() => {
  bin = mkdtempSync(join(tmpdir(), 'everyhop-bin-'))
  vi.stubEnv('PATH', bin)
  vi.stubEnv('DOCKER_HOST', undefined)
})
afterEach(() => {
  vi.unstubAllEnvs()
  vi.restoreAllMocks()
  rmSync(bin, { recursive: true })
})

const tool = (name: string, script: string) => writeFileSync(join(bin, name), `#!/bin/sh\n${script}\n`, { mode: 0o755 })
const answers = 'case $1 in version) echo 28.0;;'

test('without the docker command: which package brings it', async () => {
  await expect(findDocker()).rejects.toThrow(NoDockerError)
  await expect(findDocker()).rejects.toThrow(
    'the docker command is not on PATH; fix: everyhop doctor --fix (Debian: apt-get install docker.io)',
  )
})

test("the user's, when it answers and runs a privileged container", async () => {
  tool('docker', `${answers} esac`)
  tool('tar', '')
  expect((await findDocker()).place).toEqual({})
})

test('one that answers and runs none is not used, and its reason is told', async () => {
  tool('docker', `${answers} run) echo "docker: no CAP_SYS_RESOURCE" >&2; exit 125;; esac`)
  tool('tar', '')
  expect(await usersDocker()).toMatch(/cannot run a privileged container \(docker run .* exit code 125: docker: no CAP_SYS_RESOURCE\)$/)
})

test('one of another machine is not used: its clusters cannot be reached', async () => {
  tool('docker', `${answers} esac`)
  vi.stubEnv('DOCKER_HOST', 'tcp://10.0.0.1:2375')
  expect(await usersDocker()).toBe("DOCKER_HOST=tcp://10.0.0.1:2375 is another machine's, whose clusters cannot be reached from here")
})

test('none answers: root gets a daemon of our own, if there is a dockerd; nobody else does', async () => {
  tool('docker', 'echo "Cannot connect" >&2; exit 1')
  const uid = vi.spyOn(process as { getuid(): number }, 'getuid').mockReturnValue(0)
  await expect(findDocker()).rejects.toThrow(
    'no Docker daemon answers at its usual place, and there is no dockerd to run one of our own; fix:',
  )
  tool('dockerd', '')
  const told: string[] = []
  expect((await findDocker((line) => told.push(line))).place.host).toBe('ours')
  expect(told).toEqual(['no Docker daemon answers at its usual place: using a Docker daemon of our own'])
  uid.mockReturnValue(1000)
  await expect(findDocker()).rejects.toThrow('fix: start Docker, or start everyhop as root')
  expect(daemon.startDaemon).toHaveBeenCalledTimes(1)
})
