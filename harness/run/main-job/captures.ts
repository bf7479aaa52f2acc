import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import type { Expectation } from '../../judge/expectation.ts'
import type { Attempt } from '../../traffic/attempt.ts'
import { caseFile } from '../bundle-write.ts'
import type { MainJob } from './command.ts'
import { resultsOfJob } from './results.ts'

/** A packet as tshark shows it. */
interface Shown {
  readonly place: string
  /** `LEG: HOP (VERDICT)`; empty for the packets in between. */
  readonly comments: readonly string[]
  readonly fromPort: string
  readonly toPort: string
}

const HBONE = '15008'

async function shown(file: string, filter = ''): Promise<Shown[]> {
  const fields = ['frame.interface_name', 'frame.comment', 'tcp.srcport', 'tcp.dstport'].flatMap((f) => ['-e', f])
  const { stdout } = await promisify(execFile)('tshark', ['-n', '-r', file, ...(filter ? ['-Y', filter] : []), '-T', 'fields', ...fields], {
    maxBuffer: 1 << 26,
  })
  return stdout
    .split('\n')
    .filter(Boolean)
    .map((line) => {
      const [place = '', comment = '', fromPort = '', toPort = ''] = line.split('\t')
      return { place, comments: comment ? comment.split('; ') : [], fromPort, toPort }
    })
}

export function capturesClaims(job: () => MainJob): void {
  const captures = () =>
    resultsOfJob(job()).cases.map((c) => ({ case: c, file: join(job().folder, 'cases', c.id.replaceAll('/', '.'), 'capture.pcapng') }))
  const expectation = (id: string) => JSON.parse(readFileSync(join(job().bundle, caseFile(id)), 'utf8')) as Expectation
  const tokens = () =>
    new Map(
      readFileSync(join(job().bundle, 'traffic.jsonl'), 'utf8')
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as Attempt)
        .filter((a) => a.role === 'main')
        .map((a) => [a.case, a.token]),
    )

  test('that tshark opens: interfaces are named node/netns/dev, each hop stands at packets of its vantage point', async () => {
    for (const { case: c, file } of captures()) {
      const packets = await shown(file)
      const vantages = new Map(c.legs.flatMap((l) => l.hops.map((h) => [`${l.title}: ${h.title} (${h.verdict})`, h.vantage])))
      for (const { place, comments } of packets) {
        expect(place, c.id).toMatch(/^(one|two)\/(node|(demo|plain)\.[a-z0-9-]+)\/(lo|eth0|veth[0-9a-f]+)$/)
        for (const comment of comments) {
          expect(vantages.has(comment), `${c.id}: ${comment}`).toBe(true)
          expect(`${place}/`.startsWith(`${vantages.get(comment)}/`), `${c.id}: ${comment} at ${place}`).toBe(true)
        }
      }
      const commented = new Set(packets.flatMap((p) => p.comments))
      const byPacket = c.legs.flatMap((l) =>
        l.hops.filter((h) => h.proofs.some((p) => p.kind === 'packet')).map((h) => `${l.title}: ${h.title} (${h.verdict})`),
      )
      expect(byPacket.length, c.id).toBeGreaterThan(0)
      expect(
        byPacket.filter((hop) => !commented.has(hop)),
        c.id,
      ).toEqual([])
    }
  }, 60_000)

  test('in which the token is readable at every clear row, and at no other place or leg', async () => {
    for (const { case: c, file } of captures()) {
      const token = tokens().get(c.id)
      expect(token, c.id).toMatch(/^[0-9a-f]{32}$/)
      const readable = await shown(file, `frame contains "${token}"`)
      const clear = expectation(c.id)
        .path.legs.flatMap((l) => l.hops.flatMap((h) => h.proofs))
        .flatMap((p) => (p.kind === 'token' && p.row === 'clear' ? [`${p.node}/${p.netns}/${p.dev}`] : []))
      expect(new Set(readable.map((p) => p.place)), c.id).toEqual(new Set(clear))
      const sealed = c.legs.filter((l) => l.row === 'sealed').map((l) => `${l.title}: `)
      expect(
        readable.filter(
          (p) => p.fromPort === HBONE || p.toPort === HBONE || p.comments.some((text) => sealed.some((s) => text.startsWith(s))),
        ),
        c.id,
      ).toEqual([])
      // The other side of it: sealed legs are in the file, and carry something.
      if (sealed.length > 0) expect((await shown(file, `tcp.port == ${HBONE} && tcp.len > 0`)).length, c.id).toBeGreaterThan(0)
    }
  }, 60_000)
}
