import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Bundle, EvidenceError, observations, openBundle } from './bundle.ts'
import { exportCase } from './export.ts'
import { PcapngWriter } from './pcapng-write.ts'

let folder: string
let bundle: Bundle

/** TCP 10.0.0.1:1000 → 10.0.0.2:80, SYN; the last byte numbers the packet. */
const frame = (n: number) =>
  Buffer.from(
    `02000000000102000000000208004500002900014000400600000a0000010a00000203e800500000006400000000500202000000000${n}0${n}`.slice(0, 110),
    'hex',
  )

function capture(node: string, times: readonly bigint[]) {
  const writer = new PcapngWriter()
  const devices = [`${node}/demo.sleep/eth0`, `${node}/node/veth0`].map((name) => writer.interface(name))
  const packets = times.map((tNs, i) =>
    writer.packet({ interfaceId: i & 1, tNs, data: frame(i), originalLength: 1000 + i, direction: i & 1 ? 'in' : 'out' }),
  )
  return Buffer.concat([writer.header(), ...devices.map(({ block }) => block), ...packets])
}

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'everyhop-export-'))
  writeFileSync(
    join(folder, 'bundle.json'),
    JSON.stringify({ schema: 1, run: 'r', provider: 'lab', mode: 'inpod', release: 'today', startedAt: 0, endedAt: 1 }),
  )
  const start = 1_795_000_000_000_000_000n
  for (const [node, times] of [
    ['n1', [start + 1n, start + 30n, start + 999_999_999n]],
    ['n2', [start + 20n, start + 10n]],
  ] as const) {
    mkdirSync(join(folder, 'evidence', node), { recursive: true })
    writeFileSync(join(folder, 'evidence', node, 'packets.pcapng'), capture(node, times))
  }
  bundle = openBundle(folder)
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const packet = (ref: string) => observations(bundle).find((observation) => observation.ref === `evidence/${ref}`)!

function tshark(file: string) {
  const fields = [
    'frame.time_epoch',
    'frame.interface_name',
    'frame.packet_flags_direction',
    'frame.comment',
    'frame.len',
    'frame.cap_len',
    'tcp.dstport',
  ]
  const text = execFileSync('tshark', ['-r', file, '-T', 'fields', ...fields.flatMap((field) => ['-e', field])], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  return text
    .trimEnd()
    .split('\n')
    .map((line) => line.split('\t'))
}

test('a case of two nodes, read back by tshark: names, comments, directions, times to the nanosecond, in order', () => {
  const out = join(folder, 'cases', 'one', 'capture.pcapng')
  const written = exportCase(
    bundle,
    [
      { observation: packet('n1/packets.pcapng#p2'), comment: 'leg 2, hop 1: arrives' },
      { observation: packet('n1/packets.pcapng#p0'), comment: 'leg 1, hop 1: läuft über lo' },
      { observation: packet('n2/packets.pcapng#p0') },
      { observation: packet('n2/packets.pcapng#p1'), comment: 'b' },
      { observation: packet('n1/packets.pcapng#p0'), comment: 'also this' },
      {
        observation: { kind: 'loss', ref: 'evidence/n1/stats.jsonl#L1', node: 'n1', netns: 'node', t: 1, stream: 'packets', lost: 0 },
        comment: 'no packet',
      },
    ],
    out,
  )
  expect(written).toBe(4)
  expect(tshark(out)).toEqual([
    ['1795000000.000000001', 'n1/demo.sleep/eth0', '0x00000002', 'leg 1, hop 1: läuft über lo; also this', '1000', '55', '80'],
    ['1795000000.000000010', 'n2/node/veth0', '0x00000001', 'b', '1001', '55', '80'],
    ['1795000000.000000020', 'n2/demo.sleep/eth0', '0x00000002', '', '1000', '55', '80'],
    ['1795000000.999999999', 'n1/demo.sleep/eth0', '0x00000002', 'leg 2, hop 1: arrives', '1002', '55', '80'],
  ])
  expect(readdirSync(join(folder, 'cases', 'one'))).toEqual(['capture.pcapng'])
})

test('without packets it is a capture that has none', () => {
  const out = join(folder, 'empty.pcapng')
  expect(exportCase(bundle, [], out)).toBe(0)
  expect(tshark(out)).toEqual([['']])
})

test('a packet that is not in the bundle is an error, and leaves no file', () => {
  const out = join(folder, 'none.pcapng')
  const known = packet('n1/packets.pcapng#p0')
  expect(() => exportCase(bundle, [{ observation: { ...known, ref: 'evidence/n1/packets.pcapng#p9' } }], out)).toThrow(
    /n1\/packets.pcapng: it has 3 packets/,
  )
  expect(() => exportCase(bundle, [{ observation: { ...known, ref: 'evidence/n9/packets.pcapng#p0' } }], out)).toThrow(
    /n9.* not in the bundle/,
  )
  expect(() => exportCase(bundle, [{ observation: { ...known, ref: 'x' } }], out)).toThrow(EvidenceError)
  expect(existsSync(out)).toBe(false)
})
