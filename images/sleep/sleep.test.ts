import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { ClientRequest, ClientResult } from '../lib/app-protocol.ts'

let dir: string
let path: string
let app: ChildProcess

async function start(): Promise<void> {
  app = spawn(process.execPath, [join(import.meta.dirname, 'main.ts')], {
    env: { ...process.env, SLEEP_SOCKET: path },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const [line] = await once(app.stdout!, 'data')
  expect(JSON.parse(String(line))).toEqual({ event: 'listening', path })
}

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'everyhop-sleep-'))
  path = join(dir, 'sleep.sock')
  await start()
})
afterEach(() => {
  app.kill('SIGKILL')
  rmSync(dir, { recursive: true })
})

async function results(lines: string): Promise<ClientResult[]> {
  const socket = connect(path)
  socket.end(lines)
  return (await text(socket))
    .trimEnd()
    .split('\n')
    .map((l) => JSON.parse(l))
}

test('requests run side by side, each on its own connection; rubbish between them is answered', async () => {
  const server = createServer(async (req, res) => {
    const body = String(await req.toArray().then((chunks) => Buffer.concat(chunks)))
    // The first is answered only when the second has come: one after the other would never end.
    if (body === 'first') server.once('second', () => res.end(body))
    else res.end(body, () => server.emit('second'))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const ask = (body: string): ClientRequest => ({ id: body, protocol: 'http', host: '127.0.0.1', port, body, timeoutMs: 5_000 })
  const all = await results(`${JSON.stringify(ask('first'))}\nrubbish\n{"id":"half"}\n${JSON.stringify(ask('second'))}\n`)
  server.close()
  const by = (id: string) => all.find((r) => r.id === id)
  expect(all).toHaveLength(4)
  expect(by('first')).toMatchObject({ ok: true, body: 'first' })
  expect(by('second')).toMatchObject({ ok: true, body: 'second' })
  expect(by('')).toMatchObject({ ok: false, error: { code: 'EBADREQUEST', message: expect.stringMatching(/^not JSON/) } })
  expect(by('half')).toMatchObject({ ok: false, error: { code: 'EBADREQUEST', message: expect.stringMatching(/protocol must be/) } })
})

test('SIGTERM ends it at once, even with a request under way; a new one takes the socket over', async () => {
  const server = createServer(() => {})
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const asked = once(server, 'request')
  const socket = connect(path)
  socket.write(`${JSON.stringify({ id: 'x', protocol: 'http', host: '127.0.0.1', port, body: '', timeoutMs: 60_000 })}\n`)
  await asked
  const exited = once(app, 'exit')
  app.kill()
  expect(await exited).toEqual([0, null])
  server.close()
  await start()
  expect(await results('{}\n')).toHaveLength(1)
})
