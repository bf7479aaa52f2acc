import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ApiClient, accessOf } from '../api-client.ts'
import { attachCluster } from '../attach.ts'
import type { ClusterNode, SpawnOptions } from '../cluster.ts'
import { appImages } from '../images.ts'
import { deployApps, removeApps } from '../install.ts'
import type { KubernetesObject, Pod } from '../kubernetes.ts'
import { compareNodes, snapshotNode } from '../node-audit.ts'
import { newOwnerId } from '../registry.ts'
import { createKind, type KindCluster } from './kind.ts'
import { KindTests, topology } from './testing/kind-tests.ts'

const kind = new KindTests()

async function output(node: ClusterNode, argv: readonly string[], options?: SpawnOptions) {
  const child = node.spawn(argv, options)
  let stdout = ''
  child.stdout!.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
  })
  child.stdin!.end()
  const [code, signal] = await once(child, 'close')
  return { code, signal, stdout }
}

describe('a cluster of kind', () => {
  let cluster: KindCluster
  let api: ApiClient

  beforeAll(async () => {
    cluster = await createKind(kind.optionsOf(newOwnerId()))
    api = new ApiClient(accessOf(cluster.kubeconfig))
  })
  afterAll(async () => {
    api?.close()
    await cluster?.[Symbol.asyncDispose]()
  })

  test("has the topology's nodes and one for the control plane, all ready", async () => {
    expect(cluster.nodes.map((n) => n.name)).toEqual(['one', 'two'])
    const { items } = await api.list('/api/v1/nodes')
    expect(items.map((n) => n.metadata.name).sort()).toEqual(['control-plane', 'one', 'two'])
    for (const { name, address } of cluster.nodes) {
      const { status } = items.find((n) => n.metadata.name === name) as KubernetesObject & { status: { addresses: unknown } }
      expect(status.addresses).toContainEqual({ type: 'InternalIP', address })
    }
    await cluster.check()
  })

  test('pods reach pods of other nodes, services and names; what is deleted is gone', async () => {
    const pods = ['one', 'two'].map((node) => ({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: `on-${node}`, namespace: 'default' },
      // What kubelet starts sandboxes from is on every node.
      spec: { nodeName: node, containers: [{ name: 'pause', image: 'registry.k8s.io/pause:3.10', imagePullPolicy: 'Never' }] },
    }))
    await cluster.apply(pods)
    const running = (objects: KubernetesObject[]) => {
      const ready = (objects as Pod[]).filter((pod) => pod.status?.conditions?.some((c) => c.type === 'Ready' && c.status === 'True'))
      return ready.length === 2 ? ready : undefined
    }
    const ready = await api.until('/api/v1/namespaces/default/pods', running)
    const servers = (await api.list('/api/v1/namespaces/kube-system/pods?labelSelector=k8s-app%3Dkube-dns')).items as Pod[]
    const service = (
      await api.json<KubernetesObject & { spec: { clusterIP: string } }>('GET', '/api/v1/namespaces/kube-system/services/kube-dns')
    ).spec.clusterIP
    expect(servers.map((pod) => pod.spec.nodeName)).toEqual(['control-plane'])
    for (const pod of ready) {
      const node = cluster.nodes.find((n) => n.name === pod.spec.nodeName)!
      const address = pod.status!.podIP!
      const link = await output(node, ['ip', '-o', 'route', 'get', address])
      expect(link.stdout).toMatch(/ dev veth/)
      const file = await output(node, [
        'sh',
        '-c',
        `for f in /var/run/netns/*; do nsenter --net=$f ip -o addr | grep -q ' ${address}/' && echo $f; done`,
      ])
      const netns = file.stdout.trim()
      expect(netns).toMatch(/^\/var\/run\/netns\/cni-/)
      const connects = (to: string) => output(node, ['bash', '-c', `exec 3<>/dev/tcp/${to}/53`], { netns })
      expect(await connects(servers[0]!.status!.podIP!)).toMatchObject({ code: 0 })
      expect(await connects(service)).toMatchObject({ code: 0 })
    }
    await cluster.delete(pods)
    expect((await api.list('/api/v1/namespaces/default/pods')).items).toEqual([])
  })

  test('our images come to all nodes, once, and apps start from them', async () => {
    const list = async () => Promise.all(cluster.nodes.map((node) => output(node, ['ctr', '--namespace', 'k8s.io', 'images', 'ls'])))
    await cluster.loadImages(appImages)
    const first = await list()
    for (const { stdout } of first) for (const { name } of appImages) expect(stdout).toContain(`docker.io/${name} `)
    await cluster.loadImages(appImages)
    expect(await list()).toEqual(first)
    const pods = topology.pods.filter((p) => ['client-one', 'server-two'].includes(p.name))
    const small = { ...topology, namespaces: { plain: topology.namespaces.plain! }, pods, services: [] }
    await deployApps(cluster, small, undefined)
    expect((await api.list('/api/v1/namespaces/plain/pods')).items.map((p) => (p as Pod).spec.nodeName).sort()).toEqual(['one', 'two'])
    await removeApps(cluster, small)
  })

  test('a process on a node has its input, output, environment and exit code; a signal reaches it', async () => {
    const [one] = cluster.nodes as [ClusterNode, ClusterNode]
    const child = one.spawn(['sh', '-c', 'read line; echo "$line $GREETING"; exit 7'], { env: { GREETING: 'there' } })
    let said = ''
    child.stdout!.on('data', (piece) => {
      said += piece
    })
    child.stdin!.write('hello\n')
    expect(await once(child, 'close')).toEqual([7, null])
    expect(said).toBe('hello there\n')

    const sleeper = one.spawn(['sleep', '1000'])
    // Before it can be there: the signal waits for it.
    expect(sleeper.kill('SIGTERM')).toBe(true)
    expect(await once(sleeper, 'close')).toEqual([143, null])
    expect(sleeper.kill()).toBe(false)
    expect((await output(one, ['sh', '-c', 'cat /proc/[0-9]*/comm'])).stdout.split('\n')).not.toContain('sleep')
  })

  test("a program of the harness runs there, and its input's end is its end", async () => {
    const attached = attachCluster(JSON.parse(JSON.stringify(cluster.handle)))
    const child = attached.nodes[1]!.runProgram('harness/evidence/collector.ts', ['two'])
    let errors = ''
    child.stderr!.on('data', (piece) => {
      errors += piece
    })
    child.stdin!.end()
    expect(await once(child, 'close'), errors).toEqual([0, null])
  })

  test('the audit of a node sees what was left on it, and nothing else', async () => {
    const [one] = cluster.nodes as [ClusterNode, ClusterNode]
    const before = await snapshotNode(one)
    expect(before.files.filter((line) => line.startsWith('/etc/cni/net.d/10-everyhop.conflist '))).toHaveLength(1)
    await output(one, ['sh', '-ec', 'ip rule add fwmark 0x539 lookup 100; echo >/opt/cni/bin/istio-cni'])
    const left = compareNodes(before, await snapshotNode(one))
    expect(left).toEqual([
      expect.stringMatching(/^policyRules added: 32765:\tfrom all fwmark 0x539 lookup 100$/),
      expect.stringMatching(/^files added: [0-9a-f]{64} +\/opt\/cni\/bin\/istio-cni$/),
    ])
    await output(one, ['sh', '-ec', 'ip rule delete fwmark 0x539 lookup 100; rm /opt/cni/bin/istio-cni'])
    expect(compareNodes(before, await snapshotNode(one))).toEqual([])
  })

  test('a node that is stopped is told', async () => {
    const container = cluster.handle.nodes[1]!.container
    await kind.docker.run(['pause', container])
    try {
      await expect(cluster.check()).rejects.toThrow(`nodes of cluster ${cluster.id} do not run: /${container} paused`)
    } finally {
      await kind.docker.run(['unpause', container])
    }
    await cluster.check()
  })

  test('ends with nothing of it left', async () => {
    const { id } = cluster
    const volumes = await kind.volumesOf(id)
    expect(volumes).toHaveLength(3)
    expect(await kind.left(id, volumes)).toHaveLength(7)
    await cluster[Symbol.asyncDispose]()
    expect(await kind.left(id, volumes)).toEqual([])
    expect(existsSync(join(kind.state, `${id}.jsonl`))).toBe(false)
    expect(existsSync(join(kind.state, 'files', id))).toBe(false)
  })
})

test('with a bridge as its network, pods of a node share it, and reach the name server of another node', async () => {
  const id = newOwnerId()
  await using cluster = await createKind({ ...kind.optionsOf(id), topology: { ...topology, nodes: ['one'], network: 'bridge' } })
  const [one] = cluster.nodes as [ClusterNode]
  const api = new ApiClient(accessOf(cluster.kubeconfig))
  try {
    const pod = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'on-bridge', namespace: 'default' },
      spec: { nodeName: 'one', containers: [{ name: 'pause', image: 'registry.k8s.io/pause:3.10', imagePullPolicy: 'Never' }] },
    }
    await cluster.apply([pod])
    const address = await api.until('/api/v1/namespaces/default/pods', (pods) => (pods as Pod[])[0]?.status?.podIP)
    expect((await output(one, ['ip', '-o', 'route', 'get', address])).stdout).toContain(' dev cni0 ')
    expect((await output(one, ['bridge', 'link'])).stdout).toMatch(/ master cni0 .*state forwarding/)
    const [server] = (await api.list('/api/v1/namespaces/kube-system/pods?labelSelector=k8s-app%3Dkube-dns')).items as Pod[]
    const script = `f=$(for f in /var/run/netns/*; do nsenter --net=$f ip -o addr | grep -q ' ${address}/' && echo $f; done)
exec nsenter --net=$f bash -c 'exec 3<>/dev/tcp/${server!.status!.podIP}/53'`
    expect(await output(one, ['sh', '-c', script])).toMatchObject({ code: 0 })
  } finally {
    api.close()
  }
})
