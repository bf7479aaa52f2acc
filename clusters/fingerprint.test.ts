import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { fingerprintOf } from './fingerprint.ts'
import { loadTopology } from './topology.ts'

test('a cluster is another one with another topology, node image or code of its images', () => {
  const root = mkdtempSync(join(tmpdir(), 'everyhop-fingerprint-'))
  onTestFinished(() => rmSync(root, { recursive: true }))
  for (const folder of ['images/cni', 'clusters/manifests', 'clusters/kind/node-image', 'harness'])
    mkdirSync(join(root, folder), { recursive: true })
  const topology = loadTopology('two-nodes')
  const before = fingerprintOf(topology, undefined, root)
  writeFileSync(join(root, 'harness/judge.ts'), '')
  writeFileSync(join(root, 'images/cni/agent.test.ts'), '')
  expect(fingerprintOf(loadTopology('two-nodes'), undefined, root)).toBe(before)
  expect(fingerprintOf({ ...topology, network: 'bridge' }, undefined, root)).not.toBe(before)
  expect(fingerprintOf(topology, 'kindest/node:v1.34.0', root)).not.toBe(before)
  writeFileSync(join(root, 'images/cni/agent.ts'), '')
  expect(fingerprintOf(topology, undefined, root)).not.toBe(before)
})
