import { expect, test } from 'vitest'
import { parse, parseAllDocuments } from 'yaml'
import { containersOf, kindConfiguration } from './configuration.ts'

test('a control plane, and a worker for each node of the topology, each under its name', () => {
  const config = parse(kindConfiguration('eh-0000000a', { nodes: ['one', 'two', 'three'] }))
  expect(config).toMatchObject({
    kind: 'Cluster',
    apiVersion: 'kind.x-k8s.io/v1alpha4',
    name: 'eh-0000000a',
    networking: { disableDefaultCNI: true, apiServerPort: -1 },
  })
  const nodes = config.nodes as { role: string; kubeadmConfigPatches: string[] }[]
  const patches = nodes.map(({ role, kubeadmConfigPatches }) => [
    role,
    parseAllDocuments(kubeadmConfigPatches.join('---\n')).map((d) => d.toJS()),
  ])
  expect(patches).toEqual([
    ['control-plane', [{ kind: 'InitConfiguration', nodeRegistration: { name: 'control-plane' } }]],
    ['worker', [{ kind: 'JoinConfiguration', nodeRegistration: { name: 'one' } }]],
    ['worker', [{ kind: 'JoinConfiguration', nodeRegistration: { name: 'two' } }]],
    ['worker', [{ kind: 'JoinConfiguration', nodeRegistration: { name: 'three' } }]],
  ])
})

test('containers are called as kind calls them', () => {
  expect(containersOf('c', ['one', 'two', 'three'])).toEqual([
    { name: 'control-plane', container: 'c-control-plane' },
    { name: 'one', container: 'c-worker' },
    { name: 'two', container: 'c-worker2' },
    { name: 'three', container: 'c-worker3' },
  ])
})

test("a topology's node cannot be called as the control plane's", () => {
  expect(() => kindConfiguration('c', { nodes: ['one', 'control-plane'] })).toThrow(
    'is called control-plane, as the one that kind adds; fix: rename it',
  )
})
