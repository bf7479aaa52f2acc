import { appendFileSync, mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { parseCriRecord } from './log-file.ts'
import { type LogLine, Logs } from './logs.ts'

let root: string
let lines: LogLine[]
let logs: Logs | undefined
let arrived = () => {}
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'everyhop-logs-'))
  mkdirSync(join(root, 'containers'))
  lines = []
  logs = undefined
})
afterEach(() => {
  logs?.close()
  rmSync(root, { recursive: true })
})

const record = (text: string, tag = 'F', stream = 'stdout') => `2026-01-02T03:04:05.123456789Z ${stream} ${tag} ${text}\n`
const texts = () => lines.map(({ line }) => line)

/** As the kubelet does: the file below pods/, a link to it in containers/. */
function container(name: string): string {
  const directory = join(root, 'pods', name)
  mkdirSync(directory, { recursive: true })
  const file = join(directory, '0.log')
  writeFileSync(file, '')
  symlinkSync(file, join(root, 'containers', `${name}-0123abcd.log`))
  return file
}

function follow(): void {
  logs = new Logs(
    (more) => {
      lines.push(...more)
      arrived()
    },
    join(root, 'containers'),
  )
}

/** Resolves when so many lines have come, by events alone. */
function come(count: number): Promise<void> {
  return new Promise((resolve) => {
    arrived = () => {
      if (lines.length >= count) resolve()
    }
    arrived()
  })
}

test('lines of a log that is there, that grows, and of one that is new', async () => {
  const first = container('sleep_demo_app')
  appendFileSync(first, record('before'))
  follow()
  expect(lines).toEqual([
    {
      t: Date.UTC(2026, 0, 2, 3, 4, 5) * 1000 + 123456,
      namespace: 'demo',
      pod: 'sleep',
      container: 'app',
      stream: 'stdout',
      line: 'before',
    },
  ])
  appendFileSync(first, record('after', 'F', 'stderr'))
  await come(2)
  expect(lines[1]).toMatchObject({ line: 'after', stream: 'stderr' })
  const second = container('ztunnel-x7k_istio-system_istio-proxy')
  appendFileSync(second, record('hello'))
  await come(3)
  expect(lines[2]).toMatchObject({ namespace: 'istio-system', pod: 'ztunnel-x7k', container: 'istio-proxy', line: 'hello' })
})

test('a rotated log is read to its end, then the new one from its start', async () => {
  const file = container('sleep_demo_app')
  follow()
  appendFileSync(file, record('one'))
  await come(1)
  appendFileSync(file, record('two'))
  renameSync(file, `${file}.20260102-030405`)
  writeFileSync(file, record('three'))
  await come(3)
  appendFileSync(file, record('four'))
  await come(4)
  expect(texts()).toEqual(['one', 'two', 'three', 'four'])
})

test('partial records are joined a stream each; half a record waits for its other half', () => {
  const file = container('sleep_demo_app')
  follow()
  appendFileSync(file, record('a long ', 'P') + record('other', 'F', 'stderr') + record('line', 'F') + record('cut').slice(0, -3))
  logs!.flush()
  expect(texts()).toEqual(['other', 'a long line'])
  appendFileSync(file, 'ut\n')
  logs!.flush()
  expect(texts()).toEqual(['other', 'a long line', 'cut'])
})

test('flush() reads what no event has told yet; a folder that is not there is looked for again', () => {
  rmSync(join(root, 'containers'), { recursive: true })
  follow()
  mkdirSync(join(root, 'containers'))
  appendFileSync(container('sleep_demo_app'), record('x'))
  logs!.flush()
  expect(texts()).toEqual(['x'])
})

test('while a load runs lines still come by themselves; those that name its client as an end are left out, if they shall be', async () => {
  const file = container('httpbin_demo_app')
  follow()
  const served = (n: number, peer: string) => record(`{"event":"served","n":${n},"peer":"${peer}:4711"}`)
  const accessed = (n: number, from: string) =>
    record(`info access connection complete n=${n} src.addr=${from}:4711 dst.addr=10.244.2.2:8080`)
  const numbers = () => texts().map((line) => Number(/n"?[:=](\d+)/.exec(line)![1]))
  appendFileSync(file, served(1, '10.244.1.5'))
  logs!.spare(['10.244.1.5'], true)
  appendFileSync(file, served(2, '10.244.1.5') + accessed(3, '10.244.1.5') + served(4, '10.244.1.50') + accessed(5, '110.244.1.5'))
  await come(3)
  expect(numbers()).toEqual([1, 4, 5])
  appendFileSync(file, served(6, '10.244.1.5'))
  logs!.spare(['10.244.1.5'], false)
  appendFileSync(file, served(7, '10.244.1.5') + accessed(8, '10.244.1.5'))
  await come(5)
  logs!.spare([], true)
  appendFileSync(file, served(9, '10.244.1.5'))
  await come(6)
  expect(numbers()).toEqual([1, 4, 5, 7, 8, 9])
})

test('a container that is new while a load runs is followed, then and later', async () => {
  follow()
  logs!.spare(['10.244.1.5'], true)
  const file = container('sleep_demo_app')
  appendFileSync(file, record('one'))
  await come(1)
  appendFileSync(file, record('two'))
  await come(2)
  logs!.spare([], true)
  appendFileSync(file, record('three'))
  await come(3)
  expect(texts()).toEqual(['one', 'two', 'three'])
})

test('a spared line in several records is kept whole', () => {
  const file = container('httpbin_demo_app')
  follow()
  logs!.spare(['10.244.1.5'], true)
  appendFileSync(file, record('"10.244.1.5:1" begins ', 'P') + record('and "10.244.1.5:1" ends') + record('"10.244.1.5:1"') + record('x'))
  logs!.flush()
  expect(texts()).toEqual(['"10.244.1.5:1" begins and "10.244.1.5:1" ends', 'x'])
})

test.each([
  ['', undefined],
  ['no record at all', undefined],
  ['2026-01-02T03:04:05Z stdout X text', undefined],
  ['2026-01-02T03:04:05Z stdout F ', { t: 1767323045000000, stream: 'stdout', partial: false, text: '' }],
  ['2026-01-02T04:04:05.5+01:00 stderr P a b', { t: 1767323045500000, stream: 'stderr', partial: true, text: 'a b' }],
])('record %j', (text, parsed) => expect(parseCriRecord(text)).toEqual(parsed))
