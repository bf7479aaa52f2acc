import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { listOwners } from '../../../clusters/registry.ts'
import { enough, hierarchy, machineFindings } from './machine.ts'

vi.mock(import('../../../clusters/registry.ts'), async (original) => ({
  ...(await original()),
  listOwners: vi.fn((await original()).listOwners),
}))

let dir: string
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'everyhop-doctor-'))
  vi.stubEnv('EVERYHOP_STATE_DIR', dir)
})
afterEach(() => {
  vi.unstubAllEnvs()
  vi.mocked(listOwners).mockReset()
  rmSync(dir, { recursive: true })
})

const finding = (id: string) => machineFindings().find((f) => f.id === id)

test('version 2 of cgroups before version 1, and of that only `pids`', () => {
  const v1 = 'cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0\ncgroup /sys/fs/cgroup/pids cgroup rw,nosuid,pids 0 0\n'
  const v2 = 'cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n'
  expect(hierarchy(v1 + v2)).toBe('/sys/fs/cgroup/unified')
  expect(hierarchy(v1)).toBe('/sys/fs/cgroup/pids')
  expect(hierarchy('cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0\ntmpfs /pids tmpfs rw 0 0\n')).toBeUndefined()
})

test('too little of something is missing, with what was seen and wanted', () => {
  const gib = 2 ** 30
  expect(enough('disk', 'free disk', 1.5 * gib, gib, 'make room')).toMatchObject({ state: 'ok', detail: '1.5 GiB, 1 GiB wanted' })
  expect(enough('disk', 'free disk', gib - 1, gib, 'make room')).toMatchObject({ state: 'missing', fix: 'make room' })
})

test('a package whose commands are not on the PATH is missing; one for tests alone is a warning', () => {
  vi.stubEnv('PATH', dir)
  expect(finding('package-iproute2')).toMatchObject({
    state: 'missing',
    detail: 'no ip, ss',
    fix: 'apt-get install -y --no-install-recommends iproute2',
  })
  expect(finding('package-tshark')).toMatchObject({ state: 'warning' })
})

test('the Node that runs this is the pinned one', () => {
  expect(finding('node')).toMatchObject({ state: 'ok' })
})

test('dead owners are told by name, living ones are none of its business', () => {
  expect(finding('leftovers')).toMatchObject({ state: 'ok' })
  const owner = { ownerPid: 1, resources: [] }
  vi.mocked(listOwners).mockReturnValue([
    { id: 'eh-11111111', alive: false, ...owner },
    { id: 'eh-22222222', alive: true, ...owner },
  ])
  expect(finding('leftovers')).toMatchObject({ state: 'warning', detail: 'eh-11111111', fix: 'everyhop clean' })
})
