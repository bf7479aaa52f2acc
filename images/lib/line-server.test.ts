import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { listenForLines } from './line-server.ts'

let dir: string
let server: Server
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'everyhop-lines-'))
})
afterEach(() => {
  server.close()
  rmSync(dir, { recursive: true })
})

test('lines cut anywhere are put together; answers come in the order of their ends; the last line needs no newline', async () => {
  const path = join(dir, 'deep', 's')
  const slow = Promise.withResolvers<object>()
  server = await listenForLines(path, (line) => (line === 'slöw' ? slow.promise : { line }))
  const client = connect(path)
  const all = text(client)
  const bytes = Buffer.from('slöw\nfast\n\nlast')
  for (const byte of bytes) client.write(Buffer.of(byte))
  client.end()
  client.once('data', () => slow.resolve({ line: 'slow' }))
  const lines = (await all).trimEnd().split('\n')
  expect(lines.map((l) => JSON.parse(l).line).sort()).toEqual(['fast', 'last', 'slow'])
  expect(JSON.parse(lines[0]!).line).not.toBe('slow')
})

test("a file that a killed predecessor left in the socket's place is replaced", async () => {
  const path = join(dir, 's')
  writeFileSync(path, '')
  server = await listenForLines(path, (line) => ({ line }))
  const client = connect(path)
  client.end('x\n')
  expect(await text(client)).toBe('{"line":"x"}\n')
})

test('a client that leaves without its answer hurts nobody', async () => {
  const path = join(dir, 's')
  const asked = Promise.withResolvers<void>()
  const slow = Promise.withResolvers<object>()
  server = await listenForLines(path, (line) => {
    if (line !== 'slow') return { line }
    asked.resolve()
    return slow.promise
  })
  const first = connect(path)
  first.write('slow\n')
  await asked.promise
  first.destroy()
  slow.resolve({})
  const second = connect(path)
  second.end('still here\n')
  expect(await text(second)).toBe('{"line":"still here"}\n')
})
