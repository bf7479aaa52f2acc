import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, expect, test, vi } from 'vitest'
import { EvidenceError, observations, openBundle } from './bundle.ts'
import { parseIptablesSave } from './parse/iptables-save.ts'
import { parseZtunnelLine } from './parse/logs.ts'
import { normaliseRule } from './parse/normalise-rule.ts'
import { parsePackets } from './parse/packets.ts'
import { printPackets } from './parse/print.ts'

// What an evil or broken writer could leave: sizes that claim too much, depths and repetitions without end. Readers take no more memory than the bytes are worth, and not for ever.

// Work, not waiting: what a busy machine makes long.
vi.setConfig({ testTimeout: 60_000 })

const folder = mkdtempSync(join(tmpdir(), 'everyhop-hostile-'))
afterAll(() => rmSync(folder, { recursive: true }))

/** So many bytes of memory, and so many nanoseconds, may one byte of input cost; and what costs nothing by the byte. */
const worth = { memory: 64, slack: 48 << 20, ns: 20_000, slackMs: 500 }

/** Runs a reader on one input: it returns or throws an EvidenceError, within bounds. */
function bounded(input: Buffer, read: (input: Buffer) => unknown): void {
  const memory = process.memoryUsage.rss()
  const cpu = process.cpuUsage()
  try {
    read(input)
  } catch (error) {
    expect(error).toBeInstanceOf(EvidenceError)
  }
  const { user, system } = process.cpuUsage(cpu)
  expect(process.memoryUsage.rss() - memory).toBeLessThan(worth.slack + worth.memory * input.length)
  expect((user + system) / 1000).toBeLessThan(worth.slackMs + (worth.ns * input.length) / 1e6)
}

const u32 = (...values: number[]) => Buffer.from(Uint32Array.from(values).buffer)
/** A pcapng section with one interface (link type Ethernet), before whatever comes. */
const section = Buffer.concat([u32(0x0a0d0d0a, 28, 0x1a2b3c4d, 1, 0xffffffff, 0xffffffff, 28), u32(1, 20, 1, 0, 20)])
const sizes = [0, 1, 4, 12, 32, 0x7fffffff, 0x80000000, 0xfffffffc, 0xffffffff]

test('captures whose sizes claim anything', () => {
  const size = fc.constantFrom(...sizes)
  const block = fc
    .tuple(fc.constantFrom(1, 2, 3, 4, 5, 6, 0x0a0d0d0a, 0x80000001), size, fc.array(fc.oneof(size, fc.nat()), { maxLength: 12 }))
    .map(([type, length, words]) => u32(type, length, ...words, length))
  fc.assert(
    fc.property(fc.array(block, { minLength: 1, maxLength: 5 }), fc.integer({ min: 1, max: 2000 }), (blocks, times) => {
      const input = Buffer.concat([section, ...Array.from({ length: times }, () => blocks).flat()])
      bounded(input, (bytes) => parsePackets(bytes, 'f'))
      bounded(input, (bytes) => printPackets(bytes, 'f', () => {}))
    }),
    { numRuns: 100 },
  )
})

/** Texts that repeat a few pieces: what makes a careless pattern try all ways. */
const repeated = (pieces: readonly string[], most: number) =>
  fc
    .tuple(
      fc.array(fc.constantFrom(...pieces), { minLength: 1, maxLength: 6 }),
      fc.integer({ min: 1, max: most }),
      fc.constantFrom(...pieces, ''),
    )
    .map(([all, times, last]) => `${all.join('').repeat(times)}${last}`)

test('rule dumps that repeat anything', () => {
  const line = repeated(
    [':A - [0:0]\n', '-A A', ' -m x', ' "', '\\"', ' !', ' ', '[1:2] ', '\n', '*nat\n', 'COMMIT\n', '0x', '/', '::'],
    4000,
  )
  fc.assert(
    fc.property(line, (text) => {
      bounded(Buffer.from(`*nat\n:A - [0:0]\n-A A ${text}\nCOMMIT\n`), (bytes) => parseIptablesSave(bytes.toString(), 'f'))
      bounded(Buffer.from(`-A A ${text.replaceAll('\n', ' ')}`), (bytes) => normaliseRule(bytes.toString()))
    }),
    { numRuns: 150 },
  )
})

test('log lines that repeat anything', () => {
  const text = repeated(['a', '=', '"', '\\', ' ', '\t', 'a=b ', 'a="', '\\u{', '}', '"" '], 20_000)
  fc.assert(
    fc.property(text, (rest) => bounded(Buffer.from(`2026-11-21T04:07:22Z\tinfo\taccess\t${rest}`), (b) => parseZtunnelLine(b.toString()))),
    { numRuns: 150 },
  )
})

test('bundles whose files nest and repeat without end', () => {
  const depth = fc.integer({ min: 1, max: 200_000 })
  const nested = fc.tuple(fc.constantFrom('[', '{"a":'), depth, fc.boolean()).map(([open, times, closed]) => {
    const close = open === '[' ? ']' : '}'
    return `${open.repeat(times)}1${closed ? close.repeat(times) : ''}`
  })
  const manifest = '{"schema":1,"run":"r","provider":"lab","mode":"inpod","release":"today","startedAt":"","environment":{}}'
  const files = [
    'topology.json',
    'cases/a.json',
    'traffic.jsonl',
    ...['traces', 'conntrack', 'sockets', 'logs', 'stats', 'loads'].map((name) => `evidence/n/${name}.jsonl`),
  ]
  mkdirSync(join(folder, 'cases'))
  mkdirSync(join(folder, 'evidence/n'), { recursive: true })
  fc.assert(
    fc.property(fc.constantFrom(...files), nested, fc.constantFrom('', 't', 'orig', 'line', 'pods', 'path'), (name, text, key) => {
      for (const file of files) rmSync(join(folder, file), { force: true })
      writeFileSync(join(folder, 'bundle.json'), manifest)
      const content = Buffer.from(key === '' ? text : `{"${key}":${text}}\n`)
      writeFileSync(join(folder, name), content)
      bounded(content, () => observations(openBundle(folder)))
    }),
    { numRuns: 30 },
  )
})
