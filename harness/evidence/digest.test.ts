import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Digests } from './digest.ts'
import { BundleDirectory } from './parse/directory.ts'

let path: string
beforeAll(() => {
  path = mkdtempSync(join(tmpdir(), 'everyhop-digest-'))
  mkdirSync(join(path, 'evidence/one'), { recursive: true })
  writeFileSync(join(path, 'evidence/one/traces.jsonl'), 'first\nsecond ü\n\nlast without its end')
  writeFileSync(join(path, 'traffic.jsonl'), 'only\n')
  writeFileSync(join(path, 'evidence/one/packets.pcapng'), capture(['one', 'two', 'three']))
})
afterAll(() => rmSync(path, { recursive: true, force: true }))

const digest = (...refs: string[]) => new Digests(new BundleDirectory(path)).of(refs)
const shell = (script: string) => execFileSync('sh', ['-ec', script], { cwd: path, encoding: 'utf8' }).split(' ')[0]

test('of lines and files is what sed and sha256sum make of them', () => {
  const line = (file: string, n: number) =>
    `printf '%s  ${file}#L${n}\\n' $(sed -n ${n}p ${file} | tr -d '\\n' | sha256sum | cut -d' ' -f1)`
  const script = `{ ${line('evidence/one/traces.jsonl', 2)}; ${line('evidence/one/traces.jsonl', 4)}; sha256sum traffic.jsonl; ${line('traffic.jsonl', 1)}; } | sha256sum`
  const refs = ['traffic.jsonl#L1', 'evidence/one/traces.jsonl#L4', 'traffic.jsonl', 'evidence/one/traces.jsonl#L2']
  expect(digest(...refs)).toEqual({ sha256: shell(script), pieces: 4 })
})

test('of a packet is that of its block', () => {
  const [block] = shell("tail -c +85 evidence/one/packets.pcapng | head -c 36 | sha256sum | tr -d '\\n'")!.split(' ')
  expect(digest('evidence/one/packets.pcapng#p1').sha256).toBe(shell(`printf '${block}  evidence/one/packets.pcapng#p1\\n' | sha256sum`))
})

test('neither order nor repetition counts; each piece does', () => {
  const [a, b] = ['evidence/one/packets.pcapng#p0', 'evidence/one/traces.jsonl#L1'] as const
  expect(digest(a, b)).toEqual(digest(b, a, b))
  expect(digest(a).sha256).not.toBe(digest(a, b).sha256)
})

test('a piece that is not there has the word missing, and is not taken for another', () => {
  const expected = shell("printf 'missing  gone.jsonl#L1\\nmissing  traffic.jsonl#L3\\n' | sha256sum")
  expect(digest('traffic.jsonl#L3', 'gone.jsonl#L1').sha256).toBe(expected)
})

/** A section header, then an enhanced packet block of 36 bytes for each text of at most 4; no interface is wanted, so one is described first. */
function capture(texts: readonly string[]): Buffer {
  const block = (type: number, body: Buffer) => {
    const total = Buffer.alloc(4)
    total.writeUInt32LE(body.length + 12)
    const head = Buffer.alloc(4)
    head.writeUInt32LE(type)
    return Buffer.concat([head, total, body, total])
  }
  return Buffer.concat([
    block(0x0a0d0d0a, sectionBody()),
    block(1, Buffer.from([1, 0, 0, 0, 0, 0, 0, 0])),
    ...texts.map((t) => block(6, packetBody(t))),
  ])
}

function sectionBody(): Buffer {
  const body = Buffer.alloc(16, 0xff)
  body.writeUInt32LE(0x1a2b3c4d, 0)
  body.writeUInt16LE(1, 4)
  body.writeUInt16LE(0, 6)
  return body
}

function packetBody(text: string): Buffer {
  const body = Buffer.alloc(24)
  body.writeUInt32LE(4, 12)
  body.writeUInt32LE(4, 16)
  body.write(text.slice(0, 4), 20)
  return body
}
