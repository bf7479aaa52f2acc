import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { broughtGo, isNewEnough, machinesGo } from './go.ts'

let dir: string
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'everyhop-go-'))
})
afterEach(() => {
  delete process.env.GOPROXY
  rmSync(dir, { recursive: true })
})

/** A folder whose go command says that it is of this version. */
function goOf(version: string): string {
  const folder = join(dir, version, 'bin')
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'go'), `#!/bin/sh\n[ "$*" = 'env GOVERSION' ] && echo ${version}\n`, { mode: 0o755 })
  return folder
}

test('a Go is new enough from 1.24 on', () => {
  expect(['go1.24', 'go1.24.3', 'go1.30rc1', 'go2.0'].filter(isNewEnough)).toHaveLength(4)
  expect(['go1.23.12', 'go1.9', '', 'devel'].filter(isNewEnough)).toEqual([])
})

test('the first that is new enough is taken: of PATH, then of the usual places', async () => {
  const [old, good, other] = [goOf('go1.19.8'), goOf('go1.24.1'), goOf('go1.26.0')]
  const places = [join(dir, 'go1.24*/bin/go')]
  expect(await machinesGo(`/nowhere::${old}:${good}:${other}`, [])).toBe(join(good, 'go'))
  expect(await machinesGo(`${other}:${good}`, places)).toBe(join(other, 'go'))
  expect(await machinesGo(old, places)).toBe(join(good, 'go'))
  expect(await machinesGo(old, [join(dir, 'go1.19*/bin/go')])).toBeUndefined()
})

test('what the module proxy does not serve, or serves changed, is told with its address and the fix, and nothing of it stays', async () => {
  const asked: string[] = []
  const server = createServer(({ url = '' }, response) => {
    asked.push(url)
    if (url.startsWith('/changed/')) response.end('another archive')
    else response.writeHead(404).end()
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const cache = join(dir, 'cache')
  const bring = (proxy: string) => {
    process.env.GOPROXY = proxy
    return broughtGo(() => {}, cache)
  }
  try {
    await expect(bring(`off|${base}/changed/,direct`)).rejects.toThrow(
      /it is not the archive that it should be \(SHA-256 [0-9a-f]{64}\); fix: everyhop doctor/,
    )
    await expect(bring(base)).rejects.toThrow(`cannot be brought from ${base}/golang.org/toolchain/@v/v0.0.1-go`)
    expect(asked.map((url) => url.replace(/go[\d.]+\./, 'goX.'))).toEqual(
      ['/changed', ''].map((folder) => `${folder}/golang.org/toolchain/@v/v0.0.1-goX.linux-amd64.zip`),
    )
    expect(readdirSync(cache)).toEqual([])
  } finally {
    server.close()
  }
})
