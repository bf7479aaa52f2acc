import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { followLocalFile } from './local-file.ts'
import { MeshState } from './store.ts'

let dir: string
let stop: (() => void) | undefined
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'everyhop-local-'))
})
afterEach(() => {
  stop?.()
  rmSync(dir, { recursive: true })
})

const one = (ip: string) => `workloads: [{ uid: u, name: n, namespace: ns, workloadIps: [${ip}] }]`

/** As the kubelet projects a ConfigMap: the file is a link through `..data`, which is replaced. */
function project(version: number, text: string): void {
  mkdirSync(join(dir, `..${version}`))
  writeFileSync(join(dir, `..${version}`, 'local.yaml'), text)
  symlinkSync(`..${version}`, join(dir, '..tmp'))
  renameSync(join(dir, '..tmp'), join(dir, '..data'))
  if (version === 0) symlinkSync('..data/local.yaml', join(dir, 'local.yaml'))
}

function follow() {
  const state = new MeshState()
  const log = vi.fn()
  const changes = vi.fn()
  state.on('changed', changes)
  const file = followLocalFile(join(dir, 'local.yaml'), state, log)
  stop = file.close
  return { state, log, changes, ready: file.ready }
}

test('a replaced file is followed; a bad one keeps the state; the same text again changes nothing', async () => {
  project(0, one('10.0.0.1'))
  const { state, log, changes, ready } = follow()
  await ready
  expect(state.workloadAt('', '10.0.0.1')?.uid).toBe('u')
  project(1, one('10.0.0.2'))
  await vi.waitFor(() => expect(state.workloadAt('', '10.0.0.2')?.uid).toBe('u'), 10_000)
  expect(state.workloadAt('', '10.0.0.1')).toBeUndefined()
  project(2, 'workloads: [{ nonsense: 1 }]')
  await vi.waitFor(() =>
    expect(log).toHaveBeenLastCalledWith('error', 'state', 'local state not usable, keeping what was known', {
      path: join(dir, 'local.yaml'),
      error: expect.stringContaining('unknown field "nonsense"'),
    }),
  )
  expect(state.workloadAt('', '10.0.0.2')?.uid).toBe('u')
  project(3, one('10.0.0.3'))
  await vi.waitFor(() => expect(state.workloadAt('', '10.0.0.3')?.uid).toBe('u'), 10_000)
  expect(changes).toHaveBeenCalledTimes(3)
})

test('a file that comes later is taken when it comes', async () => {
  const { state, log, ready } = follow()
  expect(log).toHaveBeenCalledWith(
    'error',
    'state',
    expect.any(String),
    expect.objectContaining({ error: expect.stringContaining('ENOENT') }),
  )
  writeFileSync(join(dir, 'local.yaml'), one('10.0.0.1'))
  await ready
  expect(state.workloads.size).toBe(1)
})
