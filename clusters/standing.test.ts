import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { ownIdentity } from './identity.ts'
import { findStanding, listStanding, type Standing, writeStanding } from './standing.ts'
import type { Topology } from './topology.ts'

let state: string
beforeEach(() => {
  state = mkdtempSync(join(tmpdir(), 'everyhop-standing-'))
  process.env.EVERYHOP_STATE_DIR = state
})
afterEach(() => {
  delete process.env.EVERYHOP_STATE_DIR
  rmSync(state, { recursive: true, force: true })
})

function standing(name: string, id: string, keeper = ownIdentity()): Standing {
  mkdirSync(join(state, 'files', id), { recursive: true })
  const record: Standing = {
    schema: 1,
    name,
    mode: 'inpod',
    release: 'today',
    topologyGiven: 'two-nodes',
    topology: { name: 't' } as Topology,
    fingerprint: 'f',
    startedAt: '2026-01-02T03:04:05.678Z',
    handle: { id, provider: 'lab', kubeconfig: '/k', nodes: [{ name: 'one', address: '172.30.0.11', initPid: 1 }] },
    keeper,
  }
  writeStanding(record)
  return record
}

test('without any there is none, and the message says how to make one', () => {
  expect(listStanding()).toEqual([])
  expect(() => findStanding(undefined)).toThrow('no cluster is up; fix: everyhop up')
})

test('the only one needs no name; of several one must be named', () => {
  const b = standing('b', 'eh-00000001')
  expect(findStanding(undefined)).toEqual(b)
  const a = standing('a', 'eh-00000002')
  expect(listStanding()).toEqual([a, b])
  expect(findStanding('b')).toEqual(b)
  expect(() => findStanding(undefined)).toThrow('several clusters are up; fix: say which: --cluster a, or --cluster b')
  expect(() => findStanding('c')).toThrow('no cluster c is up; fix: use one of: a, b')
})

test('one whose keeper is dead is not up, nor is a record that cannot be read', () => {
  standing('dead', 'eh-00000001', { ...ownIdentity(), starttime: '1' })
  standing('other', 'eh-00000002')
  writeFileSync(join(state, 'files/eh-00000002/standing.json'), '{"schema":1')
  expect(listStanding()).toEqual([])
})
