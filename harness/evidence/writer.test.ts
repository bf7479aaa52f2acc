import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { encodeFrame, frameKind } from './frames.ts'
import { EvidenceWriter } from './writer.ts'

let bundle: string
beforeEach(() => {
  bundle = mkdtempSync(join(tmpdir(), 'everyhop-writer-'))
})
afterEach(() => rmSync(bundle, { recursive: true }))

test('each kind goes to its file, snapshots to their folders, replies come back after the evidence before them', () => {
  const writer = new EvidenceWriter(bundle, 'n1')
  const read = (path: string) => readFileSync(join(bundle, path), 'utf8')
  const snapshot = (netns: string, file: string) =>
    encodeFrame(frameKind.snapshot, JSON.stringify({ label: 'before', netns, file, text: `${file}\n`, t: 5 }))
  const stream = Buffer.concat([
    encodeFrame(frameKind.traces, '{"t":1}\n'),
    encodeFrame(frameKind.packets, Buffer.of(1, 2, 3)),
    encodeFrame(frameKind.reply, JSON.stringify({ id: '1', ok: true })),
    encodeFrame(frameKind.traces, '{"t":2}\n'),
    snapshot('demo.sleep', 'ss.txt'),
    snapshot('', 'config-dump.json'),
    encodeFrame(frameKind.logs, '{"cut'),
  ])
  expect(writer.push(stream.subarray(0, -3))).toEqual([{ id: '1', ok: true }])
  writer.close()
  expect(read('evidence/n1/traces.jsonl')).toBe('{"t":1}\n{"t":2}\n')
  expect(readFileSync(join(bundle, 'evidence/n1/packets.pcapng'))).toEqual(Buffer.of(1, 2, 3))
  expect(read('snapshots/before/n1/demo.sleep/ss.txt')).toBe('ss.txt\n')
  expect(read('snapshots/before/n1/config-dump.json')).toBe('config-dump.json\n')
  expect(JSON.parse(read('snapshots/before/meta.json'))).toEqual({ t: 5 })
  // The frame that never came whole is not there in part.
  expect(read('evidence/n1/logs.jsonl')).toBe('')
  // A kind of which nothing came is an empty file, not a missing one.
  expect(read('evidence/n1/conntrack.jsonl')).toBe('')
})

test('a collector cannot name a file outside the bundle', () => {
  const writer = new EvidenceWriter(bundle, 'n1')
  const frame = encodeFrame(frameKind.snapshot, JSON.stringify({ label: '..', netns: '..', file: 'passwd', text: '', t: 5 }))
  expect(() => writer.push(frame)).toThrow('not a file name: ".."')
  expect(() => new EvidenceWriter(bundle, '../n1')).toThrow('node name')
  writer.close()
})
