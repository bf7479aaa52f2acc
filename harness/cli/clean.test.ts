import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { newOwnerId, Registry } from '../../clusters/registry.ts'
import { clean } from './clean.ts'

let scratch: string
beforeEach(() => {
  scratch = mkdtempSync(join(tmpdir(), 'everyhop-clean-'))
  process.env.EVERYHOP_STATE_DIR = join(scratch, 'state')
})
afterEach(() => {
  delete process.env.EVERYHOP_STATE_DIR
  rmSync(scratch, { recursive: true, force: true })
})

async function cleaned(options: { ids?: string[]; json?: boolean } = {}) {
  let text = ''
  const code = await clean({ ...options, print: (part) => (text += part) })
  return { code, text }
}

/** The state file of an owner that is dead: its pid is this process's, its start time is not. */
function deadOwner(id: string, path: string): void {
  mkdirSync(path, { recursive: true })
  const registry = Registry.open(id)
  registry.register({ kind: 'processes' })
  registry.register({ kind: 'directory', path })
  const file = join(scratch, 'state', `${id}.jsonl`)
  writeFileSync(file, readFileSync(file, 'utf8').replace(/"starttime":"\d+"/, '"starttime":"1"'))
}

test('says so when there is nothing', async () => {
  expect(await cleaned()).toEqual({ code: 0, text: 'nothing to clean\n' })
  expect(await cleaned({ ids: ['eh-00000000'] })).toEqual({ code: 0, text: 'eh-00000000: not known; nothing to remove\n' })
})

test('removes what dead runs left, lists it, and does not touch a live one', async () => {
  const [dead, live] = [newOwnerId(), newOwnerId()]
  const directory = join(scratch, 'left')
  deadOwner(dead, directory)
  Registry.open(live)
  const orphan = spawn('sleep', ['1000'], { env: { EVERYHOP_OWNER: dead }, stdio: 'ignore' })
  const ended = once(orphan, 'exit')
  const { code, text } = await cleaned()
  await ended
  expect(code).toBe(0)
  expect(text).toContain(`${dead}: removed 2 things\n  process ${orphan.pid}\n  directory ${directory}\n`)
  expect(text).toContain(`${live}: is running (pid ${process.pid}), not touched\n`)
  expect(existsSync(directory)).toBe(false)
  expect((await cleaned()).text).toBe(`${live}: is running (pid ${process.pid}), not touched\n`)
})

test('ends with 3 and says how to go on when something cannot be removed', async () => {
  mkdirSync(join(scratch, 'state'))
  writeFileSync(join(scratch, 'state', 'eh-0badf11e.jsonl'), 'what\n')
  const { code, text } = await cleaned()
  expect(code).toBe(3)
  expect(text).toMatch(/^eh-0badf11e: could not be removed\n {2}.*eh-0badf11e\.jsonl, line 1: .*fix: /)
})

test('as JSON', async () => {
  const id = newOwnerId()
  deadOwner(id, join(scratch, 'left'))
  const { text } = await cleaned({ ids: [id, 'eh-00000000'], json: true })
  expect(JSON.parse(text)).toEqual({
    cleaned: [{ id, removed: [`directory ${join(scratch, 'left')}`] }],
    alive: [],
    failed: [],
    unknown: ['eh-00000000'],
  })
})
