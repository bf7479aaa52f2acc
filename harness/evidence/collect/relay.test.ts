import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { controlDirectory, longestSilence, relayCommand, relayEndOfLoad, relayLoad, relayRequest } from './relay.ts'

let root: string
let directory: string
const servers: Server[] = []
const uid = '6f1c7a52-1111-4222-8333-944445555666'
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'everyhop-relay-'))
  // As deep as on a node: more than a socket address can hold.
  directory = join(root, controlDirectory(uid))
  mkdirSync(directory, { recursive: true })
})
afterEach(() => {
  for (const server of servers.splice(0)) server.close()
  rmSync(root, { recursive: true })
})

/** An app that answers each connection's first line with this text. */
async function app(name: string, answer: (line: string) => string): Promise<void> {
  const cwd = process.cwd()
  const server = createServer((socket) => socket.once('data', (data) => socket.end(answer(String(data)))))
  servers.push(server)
  // Only a relative path is short enough to bind.
  process.chdir(directory)
  await new Promise<void>((resolve) => server.listen(name, resolve))
  process.chdir(cwd)
}

const request = { id: 'r1', protocol: 'tcp', host: '10.0.0.1', port: 80, body: 'token', timeoutMs: 500 } as const

test('a request goes to the sleep app of the pod and its answer comes back', async () => {
  await app('sleep.sock', (line) => `${JSON.stringify({ ...JSON.parse(line), ok: true })}\n`)
  expect(`${directory}/sleep.sock`.length).toBeGreaterThan(107)
  expect(await relayRequest(request, uid, directory)).toEqual({ ...request, ok: true })
})

test('a command goes to httpbin; what is wrong is told with the path', async () => {
  await app('httpbin.sock', () => 'not json\n')
  await expect(relayCommand({ id: 'c1', action: 'close', port: 8080 }, uid, directory)).rejects.toThrow(
    `${directory}/httpbin.sock: not a line of JSON: not json`,
  )
  await expect(relayRequest(request, uid, directory)).rejects.toThrow('sleep.sock: connect ENOENT')
  await app('sleep.sock', () => '')
  await expect(relayRequest(request, uid, directory)).rejects.toThrow('sleep.sock: closed before it answered r1')
  await expect(relayRequest(request, uid, '/nowhere')).rejects.toThrow("ENOENT: no such file or directory, open '/nowhere'")
})

const options = {
  mark: 'markmark',
  host: '10.0.0.1',
  port: 80,
  connections: 'new',
  everyMs: 10,
  atOnce: 5,
  least: 2,
  timeoutMs: 100,
} as const

test("a load's lines come as they are made, cut anywhere; its last one ends it", async () => {
  const lines = [
    { load: 'l', seq: 0 },
    { load: 'l', seq: 1 },
    { id: 'l', load: 'l', ok: true, sent: 2 },
  ]
  const text = lines.map((line) => `${JSON.stringify(line)}\n`).join('')
  await app('sleep.sock', () => text)
  const seen: object[] = []
  expect(await relayLoad({ id: 'l', load: options }, (line) => seen.push(line), uid, directory)).toEqual(lines[2])
  expect(seen).toEqual(lines.slice(0, 2))
})

test('a load that rests may be silent for longer than anything that is done meanwhile', () => {
  expect(longestSilence(options)).toBeLessThan(60_000)
  expect(longestSilence({ ...options, restAfter: 30 })).toBeGreaterThan(300_000)
})

test('a load that cannot begin, or is not there to be ended, is told with the reason', async () => {
  await app('sleep.sock', (line) => `${JSON.stringify({ id: JSON.parse(line).id, ok: false, error: 'because' })}\n`)
  await expect(relayLoad({ id: 'l', load: options }, () => {}, uid, directory)).rejects.toThrow('sleep: because')
  await expect(relayEndOfLoad({ id: 's', stop: 'l' }, uid, directory)).rejects.toThrow('sleep: because')
})
