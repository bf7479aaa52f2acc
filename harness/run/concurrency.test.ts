import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { HostSnapshot } from '../../clusters/audit.ts'
import { type Results, resultsSchema } from '../../reports/results.ts'
import { openBundle } from '../evidence/bundle.ts'
import { differences, type Ran, ranOf } from '../mutate/equivalence.ts'
import type { Attempt } from '../traffic/attempt.ts'
import { Command } from './main-job/command.ts'
import { StandInHost } from './main-job/stand-in-host.ts'

/** Of each kind that may share its time with others, some that share pods and some that do not; and one that must be alone. */
const cases = [
  'mesh-to-mesh/*/pod-ip/http',
  'mesh-to-plain/*/pod-ip/tcp',
  'plain-to-mesh/*/pod-ip/*',
  'probe/**',
  'self/**',
  '**/plain-15006',
]
const alone = 'mesh-to-dns/same-node/cluster-ip/dns/mesh-name'

interface Made {
  readonly results: Results
  readonly ran: Ran
  readonly stderr: string
}

describe.skipIf(process.getuid?.() !== 0)('cases that share no pod are in flight at once (needs root)', () => {
  const host = new StandInHost()
  let before: HostSnapshot
  let kept: string
  let one: Made
  let many: Made

  async function made(concurrency: number, where: readonly string[]): Promise<Made> {
    const folder = join(host.folder, `at-once-${concurrency}`)
    const asked = [...cases, alone].flatMap((glob) => ['--case', glob])
    const { code, stdout, stderr } = await new Command(host, [
      'run',
      ...where,
      ...asked,
      '--concurrency',
      `${concurrency}`,
      '--json',
      '--out',
      folder,
    ]).ended
    if (code !== 0) throw new Error(`with --concurrency ${concurrency} it ended with ${code}:\n${stderr}`)
    return { results: resultsSchema.parse(JSON.parse(stdout)), ran: ranOf(openBundle(join(folder, 'bundle/inpod-today'))), stderr }
  }

  beforeAll(async () => {
    await host.start()
    before = await host.snapshot()
    one = await made(1, ['--keep'])
    host.owners()
    kept = /^cluster (kept-\S+) stays up: mode inpod, release today, topology two-nodes$/m.exec(one.stderr)?.[1] ?? ''
    many = await made(8, ['--cluster', kept])
  }, 300_000)
  afterAll(async () => {
    await new Command(host, ['down', '--all']).ended
    await host[Symbol.asyncDispose]()
  })

  /** Those that are made of cases; the unmeshed requests beside them are all of the same few pods. */
  const own = ({ attempts }: Ran) => attempts.filter((a) => a.role !== 'positive')
  const together = (ran: Ran) =>
    own(ran).flatMap((a, i) =>
      own(ran)
        .slice(i + 1)
        .flatMap((b) => (atOnce(a, b) ? [[a, b] as const] : [])),
    )

  test('one by one unless asked for', () => {
    expect(together(one.ran)).toEqual([])
    expect(together(many.ran).length).toBeGreaterThan(2)
  })

  test('never two of one pod, and so never two on one connection; what needs to be alone is', () => {
    for (const [a, b] of together(many.ran)) {
      const shared = podsOf(a).filter((pod) => podsOf(b).includes(pod))
      expect(shared, `${a.case} ${a.role} and ${b.case} ${b.role}`).toEqual([])
      expect([a.case, b.case]).not.toContain(`inpod/${alone}`)
    }
  })

  test('the evidence shows the same: packets, marks, rule hits, routes and sockets', () => {
    // A node asks its pods by itself too, whenever it likes: nobody can tell that from its part in a case.
    const ofCases = (ran: Ran): Ran => ({ ...ran, attempts: own(ran).filter((a) => a.client.netns !== 'node') })
    expect(differences(ofCases(one.ran), ofCases(many.ran))).toEqual([])
  })

  test('and the verdicts are the same, hop by hop and proof by proof', () => {
    const told = ({ results }: Made) =>
      results.cases.map((c) => ({
        id: c.id,
        verdict: c.verdict,
        hops: [...c.legs.flatMap((l) => l.hops), ...c.checks].map((h) => [h.id, h.verdict, h.proofs.map((p) => [p.kind, p.status])]),
      }))
    expect(told(many)).toEqual(told(one))
    expect(one.results.totals.pass).toBeGreaterThanOrEqual(12)
  })

  test('what `--keep` left up is told with what can be done with it, and `down` takes all of it away', async () => {
    for (const line of [
      `look into it: bin/everyhop shell `,
      `use it:       npm start -- --cluster ${kept}`,
      `end it:       bin/everyhop down ${kept}`,
    ])
      expect(one.stderr).toContain(line)
    expect(many.stderr).toContain(`cluster ${kept} stays up`)
    const down = await new Command(host, ['down', kept]).ended
    expect([down.code, down.stderr]).toEqual([0, ''])
    expect(await host.left(before)).toEqual([])
  }, 60_000)
})

/** Windows that only touch share a marker, and no time. */
const atOnce = (a: Attempt, b: Attempt) => a.window.from < b.window.to && b.window.from < a.window.to
const podsOf = ({ client, server }: Attempt) => [client, server].map((p) => `${p.node}/${p.netns}`)
