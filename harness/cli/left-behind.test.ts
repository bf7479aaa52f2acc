import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Owner } from '../../clusters/registry.ts'
import { leftBehind } from './left-behind.ts'

let state: string
beforeEach(() => {
  state = mkdtempSync(join(tmpdir(), 'everyhop-left-'))
  process.env.EVERYHOP_STATE_DIR = state
})
afterEach(() => {
  delete process.env.EVERYHOP_STATE_DIR
  rmSync(state, { recursive: true, force: true })
})

const owner = (over: Partial<Owner>): Owner => ({
  id: 'eh-00000001',
  ownerPid: 1,
  alive: false,
  resources: [{ kind: 'processes' }, { kind: 'mount', path: '/a' }, { kind: 'mount', path: '/b' }, { kind: 'cgroup', path: '/c' }],
  ...over,
})

test('one line for each killed run: which, what, and the command', () => {
  expect(leftBehind([owner({ label: 'the run in /tmp/x' }), owner({ id: 'eh-00000002', resources: [] })])).toEqual([
    'the run in /tmp/x (eh-00000001) was killed and may have left processes, 2 mounts, 1 cgroup; remove it: bin/everyhop clean',
    'a run (eh-00000002) was killed and may have left its record; remove it: bin/everyhop clean',
  ])
})

test('nothing for what lives, and for what is no record of everyhop, which `clean` tells of', () => {
  expect(leftBehind([owner({ alive: true }), owner({ problem: 'no record' })])).toEqual([])
  expect(leftBehind()).toEqual([])
})
