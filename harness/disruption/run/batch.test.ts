import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Cluster } from '../../../clusters/cluster.ts'
import { createCluster } from '../../../clusters/create.ts'
import { deployApps, installMesh } from '../../../clusters/install.ts'
import { clean } from '../../../clusters/registry.ts'
import { parseTopology } from '../../../clusters/topology.ts'
import { judgeBundle } from '../../judge/bundle.ts'
import { environment } from '../../run/environment.ts'
import { resolveTopology } from '../../run/resolve.ts'
import { disruptionsOf } from '../cells.ts'
import { DisruptionBatch } from './batch.ts'

const topology = parseTopology(
  `
name: small
nodes: [one]
namespaces: { demo: { labels: { istio.io/dataplane-mode: ambient } }, plain: {} }
pods:
  - { name: sleep, namespace: demo, node: one, app: sleep }
  - { name: httpbin, namespace: demo, node: one, app: httpbin }
  - { name: client, namespace: plain, node: one, app: sleep }
  - { name: server, namespace: plain, node: one, app: httpbin }
services: []
`,
  'small.yaml',
)

describe.skipIf(process.getuid?.() !== 0)('a roll-out of ztunnel under load (needs root)', () => {
  let scratch: string
  let cluster: Cluster
  let directory: string
  beforeAll(async () => {
    scratch = mkdtempSync(join(tmpdir(), 'everyhop-disruption-'))
    process.env.EVERYHOP_STATE_DIR = join(scratch, 'state')
    directory = join(scratch, 'bundle')
    cluster = await createCluster('lab', topology)
    await installMesh(cluster, { mode: 'inpod', release: 'today' })
    await deployApps(cluster, topology, { mode: 'inpod', release: 'today' })
    const [rollout] = disruptionsOf('inpod').filter((c) => c.disturbance === 'ztunnel-rollout')
    const batch = new DisruptionBatch({
      run: 'test',
      cluster: cluster.handle,
      topology: await resolveTopology(cluster.handle, topology),
      mode: 'inpod',
      release: 'today',
      environment: await environment(topology),
      disruptions: [rollout!],
      directory,
    })
    try {
      await batch.open()
      await batch.make(rollout!)
    } finally {
      await batch.close()
    }
  }, 150_000)
  afterAll(async () => {
    await cluster?.[Symbol.asyncDispose]()
    await clean()
    delete process.env.EVERYHOP_STATE_DIR
    rmSync(scratch, { recursive: true, force: true })
  })

  test('loses none of 500 requests, each accounted for from both ends', () => {
    const { verdicts, notes } = judgeBundle(directory)
    expect(notes).toEqual([])
    expect(verdicts).toMatchObject([{ id: 'inpod/disruption/ztunnel-rollout', verdict: 'pass' }])
    const proofs = verdicts[0]!.checks.flatMap((c) => c.proofs)
    expect(proofs.map((p) => p.expected)).toContainEqual(
      expect.stringMatching(/^each of \d{3} requests has one fate \(\d{3} delivered, \d+ late, 0 duplicated, 0 reset, 0 lost/),
    )
  })

  test('is judged the same again', () => {
    expect(judgeBundle(directory).verdicts).toEqual(judgeBundle(directory).verdicts)
  })

  test('without what was read from packets, nobody can tell', () => {
    const [node = ''] = readdirSync(join(directory, 'evidence'))
    writeFileSync(join(directory, 'evidence', node, 'sightings.jsonl'), '')
    expect(judgeBundle(directory).verdicts).toMatchObject([
      { verdict: 'inconclusive', reason: expect.stringContaining('the search found each token') },
    ])
  })
})
