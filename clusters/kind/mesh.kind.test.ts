import { chmodSync, readFileSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { execa } from 'execa'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { ApiClient, accessOf } from '../api-client.ts'
import type { ClusterNode } from '../cluster.ts'
import { meshImages } from '../images.ts'
import { deployApps, removeApps } from '../install.ts'
import type { Pod } from '../kubernetes.ts'
import { repository } from '../lab/node/root.ts'
import { compareNodes, type NodeSnapshot, snapshotNode } from '../node-audit.ts'
import { newOwnerId } from '../registry.ts'
import { findPlace } from '../shell.ts'
import { parseTopology } from '../topology.ts'
import { createKind, type KindCluster } from './kind.ts'
import { attachKindNode } from './node.ts'
import { KindTests } from './testing/kind-tests.ts'

const kind = new KindTests()
const topology = parseTopology(
  `
name: small
nodes: [one]
namespaces: { demo: { labels: { istio.io/dataplane-mode: ambient } } }
pods:
  - { name: httpbin, namespace: demo, node: one, app: httpbin, labels: { app: httpbin } }
  - { name: sleep, namespace: demo, node: one, app: sleep, labels: { app: sleep } }
services: []
`,
  'small.yaml',
)

let cluster: KindCluster
let api: ApiClient
/** All of the cluster's: the mesh's DaemonSets run on the control plane's too. */
let nodes: readonly ClusterNode[]
/** What they are before there is a mesh. */
let before: readonly NodeSnapshot[]
beforeAll(async () => {
  cluster = await createKind({ ...kind.optionsOf(newOwnerId()), topology })
  api = new ApiClient(accessOf(cluster.kubeconfig))
  const { id, handle } = cluster
  const controlPlane = { name: 'control-plane', address: '', container: `${id}-control-plane` }
  nodes = [...cluster.nodes, attachKindNode(controlPlane, handle.docker, id)]
  // A node's first pod has the primary plugin turn forwarding on, mesh or not.
  await deployApps(cluster, topology, undefined)
  await removeApps(cluster, topology)
  before = await snapshots()
  await cluster.loadImages(meshImages)
})
afterAll(async () => {
  api?.close()
  await cluster?.[Symbol.asyncDispose]()
})

const snapshots = () => Promise.all(nodes.map(snapshotNode))

/** Runs lines of the README, with the cluster's own kubectl. */
async function asInReadme(lines: readonly string[]): Promise<void> {
  const kubectl = `exec docker exec --interactive ${cluster.id}-control-plane kubectl --kubeconfig /etc/kubernetes/admin.conf "$@"`
  writeFileSync(join(kind.state, 'kubectl'), `#!/bin/sh\n${kubectl}\n`)
  chmodSync(join(kind.state, 'kubectl'), 0o755)
  writeFileSync(join(kind.state, 'my-values.yaml'), 'profile: ambient\n')
  const script = lines.join('\n').replaceAll('bin/everyhop', join(repository, 'bin/everyhop'))
  const env = { ...kind.docker.environment, PATH: [kind.state, kind.docker.environment.PATH].join(delimiter) }
  await execa('bash', ['-euo', 'pipefail', '-c', script], { cwd: kind.state, env, stdin: 'ignore' })
}

/** Lines of the README's block that installs the mesh and removes it, without its comments. */
function readmeLines(): string[] {
  const [, block = ''] =
    /## The mesh on a cluster of your own\n+```sh\n([\s\S]*?)```/.exec(readFileSync(join(repository, 'README.md'), 'utf8')) ?? []
  return block.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
}

/** Waits until each pod of the apps is as told. */
const untilRedirected = (wanted: Readonly<Record<string, boolean>>) =>
  api.until('/api/v1/namespaces/demo/pods', (found) => {
    const is = Object.fromEntries(
      found.map(({ metadata }) => [metadata.name, metadata.annotations?.['ambient.istio.io/redirection'] === 'enabled']),
    )
    return Object.entries(wanted).every(([name, redirected]) => is[name] === redirected) || undefined
  })

test('the mesh comes with the commands of the README', async () => {
  const [install, ...remove] = readmeLines()
  expect(install).toMatch(/^bin\/everyhop manifests .*\| kubectl apply /)
  expect(remove).toHaveLength(2)
  await asInReadme([
    install!,
    ...['daemonset/istio-cni-node', 'daemonset/ztunnel', 'deployment/istiod'].map(
      (name) => `kubectl -n istio-system rollout status --timeout=600s ${name}`,
    ),
  ])
  // Else the audit at the end would prove nothing.
  for (const [i, there] of (await snapshots()).entries()) {
    const left = compareNodes(before[i]!, there).join('\n')
    for (const trace of [/^rules added: .*ISTIO_POSTRT/m, /^files added: .*\/opt\/cni\/bin\/istio-cni$/m, /^files added: .*"istio-cni"/m])
      expect(left).toMatch(trace)
  }
})

test('labels of pods and namespaces let running pods join and leave, which are not restarted', async () => {
  await deployApps(cluster, topology, { mode: 'inpod', release: 'today' })
  const running = async () =>
    ((await api.list('/api/v1/namespaces/demo/pods')).items as Pod[]).map(({ metadata, status }) => [
      metadata.uid,
      status?.phase,
      status?.containerStatuses?.map((c) => c.restartCount),
    ])
  const started = await running()
  const label = (path: string, value: string | null) =>
    api.json('PATCH', path, { metadata: { labels: { 'istio.io/dataplane-mode': value } } }, 'application/merge-patch+json')
  await label('/api/v1/namespaces/demo/pods/httpbin', 'none')
  await untilRedirected({ httpbin: false, sleep: true })
  await label('/api/v1/namespaces/demo/pods/httpbin', null)
  await untilRedirected({ httpbin: true, sleep: true })
  await label('/api/v1/namespaces/demo', null)
  await untilRedirected({ httpbin: false, sleep: false })
  await label('/api/v1/namespaces/demo', 'ambient')
  await untilRedirected({ httpbin: true, sleep: true })
  expect(await running()).toEqual(started)
})

test('a shell is in the network and processes of a pod, or on a node, also that of the control plane', async () => {
  const inside = async (where: string, command: string) => {
    const { enter } = await findPlace(cluster.handle, where)
    const [file = '', ...args] = [...enter, 'sh', '-c', command]
    return (await execa(file, args, { stdin: 'ignore' })).stdout
  }
  const { status } = await api.json<Pod>('GET', '/api/v1/namespaces/demo/pods/sleep')
  expect(await inside('sleep', 'ip -4 -o address show eth0')).toContain(` ${status?.podIP}/`)
  expect(await inside('demo/sleep', 'iptables-save -t nat')).toContain('--to-ports 15001')
  expect(await inside('sleep', 'tr "\\0" " " </proc/1/cmdline')).toMatch(/\bnode\b.*\bmain\.mjs/)
  const proxies = (await api.list('/api/v1/namespaces/istio-system/pods?labelSelector=app%3Dztunnel')).items as Pod[]
  const there = proxies.find((pod) => pod.spec.nodeName === 'control-plane')
  for (const where of ['control-plane', there!.metadata.name])
    expect(await inside(where, 'ls /etc/kubernetes/manifests')).toContain('etcd.yaml')
  await expect(findPlace(cluster.handle, 'nowhere')).rejects.toThrow('there are nodes control-plane, one and pods:')
})

test('it goes with the commands of the README: pods that stand can be deleted, and all nodes are what they were', async () => {
  await asInReadme(readmeLines().slice(1))
  expect((await api.list('/api/v1/namespaces')).items.map((n) => n.metadata.name)).not.toContain('istio-system')
  await removeApps(cluster, topology)
  for (const [i, after] of (await snapshots()).entries()) expect(compareNodes(before[i]!, after), nodes[i]!.name).toEqual([])
})
