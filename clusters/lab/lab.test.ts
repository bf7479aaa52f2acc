import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ApiClient, accessOf } from '../api-client.ts'
import { compareHosts, type HostSnapshot, snapshotHost } from '../audit.ts'
import type { Cluster } from '../cluster.ts'
import type { KubernetesObject, Pod, Service } from '../kubernetes.ts'
import { processesOf } from '../processes.ts'
import { clean, listOwners, newOwnerId, Registry } from '../registry.ts'
import { parseTopology } from '../topology.ts'
import { createLab } from './lab.ts'
import { pinnedNode } from './node/root.ts'

const yaml = `
name: small
nodes: [one, two]
namespaces: { demo: {} }
pods: [{ name: unused, namespace: demo, node: one, app: sleep }]
`
const topology = parseTopology(yaml, 'small.yaml')
const image = { name: 'test/web', source: 'clusters/lab/testing', entry: 'web.ts' }

let scratch: string
beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), 'everyhop-lab-test-'))
  process.env.EVERYHOP_STATE_DIR = join(scratch, 'state')
})
afterAll(async () => {
  // A test that failed half way left its lab to this process.
  for (const { id, ownerPid } of listOwners()) if (ownerPid === process.pid) await Registry.open(id).teardown()
  await clean()
  delete process.env.EVERYHOP_STATE_DIR
  rmSync(scratch, { recursive: true, force: true })
})

/** What of a difference can be this lab's: others may start and end on this host at the same time. */
function left(before: HostSnapshot, id: string): string[] {
  const everybodys = ['netns', 'mounts', 'cgroups', 'processes', 'state']
  return compareHosts(before, snapshotHost(join(scratch, 'state')))
    .filter(({ kind, line }) => !everybodys.includes(kind) || line.includes(id))
    .map(({ kind, change, line }) => `${kind} ${change}: ${line}`)
}

const daemonOf = (id: string) => processesOf(id).find((pid) => readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('daemon.ts'))!

const audit = () => snapshotHost(join(scratch, 'state'))

function makeLab(): Promise<Cluster> & { id: string } {
  const id = newOwnerId()
  const directory = join(scratch, id)
  mkdirSync(directory)
  return Object.assign(createLab({ id, topology, directory }), { id })
}

/** A web pod on each node, `a` on one and `b` on two, and the service `b`. `who` is what they answer with. */
function webObjects(who: string): KubernetesObject[] {
  const pod = (name: string, nodeName: string): KubernetesObject => ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'demo', labels: { app: name } },
    spec: {
      nodeName,
      terminationGracePeriodSeconds: 0,
      containers: [
        {
          name: 'web',
          image: image.name,
          env: [{ name: 'WHO', value: `${who}-${name}` }],
          readinessProbe: { httpGet: { path: '/', port: 8080 }, periodSeconds: 1 },
        },
      ],
    },
  })
  return [
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'demo' } },
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'default', namespace: 'demo' } },
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'b', namespace: 'demo' },
      spec: { selector: { app: 'b' }, ports: [{ port: 80, targetPort: 8080 }] },
    },
    pod('a', 'one'),
    pod('b', 'two'),
  ]
}

/** The pods' addresses and the service's, as soon as both pods are ready and the service has its endpoint. */
async function deployed(cluster: Cluster, who: string) {
  await cluster.loadImages([image])
  await cluster.apply(webObjects(who))
  const api = new ApiClient(accessOf(cluster.kubeconfig))
  const pods = await api.until('/api/v1/namespaces/demo/pods', (found) => {
    const ready = (found as Pod[]).filter((p) => p.status?.conditions?.some((c) => c.type === 'Ready' && c.status === 'True'))
    return ready.length === 2 ? ready : undefined
  })
  await api.until(
    '/apis/discovery.k8s.io/v1/namespaces/demo/endpointslices',
    (slices) => slices.some((s) => JSON.stringify(s.endpoints).includes('"ready":true')) || undefined,
  )
  const service = (await api.list('/api/v1/namespaces/demo/services')).items[0] as Service
  api.close()
  const address = (name: string) => pods.find((p) => p.metadata.name === name)?.status?.podIP ?? ''
  return { a: address('a'), b: address('b'), clusterIP: service.spec.clusterIP ?? '' }
}

/** What the node gets from a URL. */
async function get(cluster: Cluster, node: number, url: string): Promise<string> {
  const script = `process.stdout.write(await (await fetch(${JSON.stringify(url)}, { signal: AbortSignal.timeout(8000) })).text())`
  const child = cluster.nodes[node]!.spawn([pinnedNode, '--input-type=module', '-e', script])
  let text = ''
  child.stdout?.setEncoding('utf8').on('data', (part) => {
    text += part
  })
  child.stderr?.setEncoding('utf8').on('data', (part) => {
    text += part
  })
  await once(child, 'close')
  return text
}

describe('a lab', { timeout: 60_000 }, () => {
  test('joins pods of two nodes by address, ClusterIP and name, and leaves nothing', async () => {
    const before = audit()
    const making = makeLab()
    const cluster = await making
    try {
      expect(cluster.handle).toMatchObject({
        id: making.id,
        provider: 'lab',
        nodes: [
          { name: 'one', address: '172.30.0.11' },
          { name: 'two', address: '172.30.0.12' },
        ],
      })
      const { a, b, clusterIP } = await deployed(cluster, 'x')
      expect([a, b]).toEqual([expect.stringMatching(/^10\.244\.1\./), expect.stringMatching(/^10\.244\.2\./)])
      const via = (url: string) => get(cluster, 0, `http://${a}:8080/fetch?url=${encodeURIComponent(url)}`)
      // The server sees the client's own address: nothing on the way may replace it.
      const answer = `x-b to ${a}`
      expect(await via(`http://${b}:8080/`)).toBe(answer)
      expect(await via(`http://${clusterIP}/`)).toBe(answer)
      expect(await via('http://b/')).toBe(answer)
      expect(await via('http://b.demo.svc.cluster.local/')).toBe(answer)
      expect(await via('http://nobody.demo.svc.cluster.local/')).toMatch(/ENOTFOUND/)
      expect(await get(cluster, 1, `http://${clusterIP}/`)).toMatch(/^x-b to /)
    } finally {
      await cluster[Symbol.asyncDispose]()
    }
    await cluster[Symbol.asyncDispose]()
    expect(left(before, making.id)).toEqual([])
    expect(existsSync(cluster.kubeconfig)).toBe(false)
    await expect(cluster.apply([])).resolves.toBeUndefined()
    await expect(cluster.apply(webObjects('x'))).rejects.toThrow(/is not running/)
  })

  test('does not touch another beside it', async () => {
    const before = audit()
    const [p, q] = [makeLab(), makeLab()]
    const clusters = await Promise.all([p, q])
    try {
      const [first, second] = await Promise.all([deployed(clusters[0]!, 'p'), deployed(clusters[1]!, 'q')])
      expect(first.a.split('.').slice(0, 3)).toEqual(second.a.split('.').slice(0, 3))
      const through = (i: number, a: string) => get(clusters[i]!, 0, `http://${a}:8080/fetch?url=http://b.demo.svc.cluster.local/`)
      expect(await through(0, first.a)).toMatch(/^p-b /)
      expect(await through(1, second.a)).toMatch(/^q-b /)
      await clusters[0]![Symbol.asyncDispose]()
      expect(left(before, p.id)).toEqual([])
      expect(processesOf(q.id).length).toBeGreaterThan(3)
      expect(await through(1, second.a)).toMatch(/^q-b /)
    } finally {
      await Promise.all(clusters.map((c) => c[Symbol.asyncDispose]()))
    }
    expect(left(before, q.id)).toEqual([])
  })

  test('says which object the API refuses and why, and waits until what it deletes is gone', async () => {
    const cluster = await makeLab()
    try {
      await expect(cluster.apply([{ apiVersion: 'example.com/v1', kind: 'Thing', metadata: { name: 't' } }])).rejects.toThrow(
        /Thing t could not be applied/,
      )
      await expect(cluster.apply([{ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'c', namespace: 'nope' } }])).rejects.toThrow(
        /ConfigMap nope\/c .*"nope" not found/,
      )
      await deployed(cluster, 'x')
      const [namespace] = webObjects('x') as [KubernetesObject]
      await cluster.delete([namespace, namespace])
      const api = new ApiClient(accessOf(cluster.kubeconfig))
      expect((await api.list('/api/v1/pods')).items).toEqual([])
      expect((await api.list('/api/v1/namespaces')).items.map((n) => n.metadata.name)).not.toContain('demo')
      api.close()
    } finally {
      await cluster[Symbol.asyncDispose]()
    }
  })

  test('with a network that it has not says so and leaves nothing', async () => {
    const id = newOwnerId()
    const bridged = { ...topology, network: 'bridge' as const }
    await expect(createLab({ id, topology: bridged, directory: scratch })).rejects.toThrow('asks for a bridge; fix: network: ptp')
    expect(listOwners().map((o) => o.id)).not.toContain(id)
  })

  test('that cannot be made says why and leaves nothing', async () => {
    const before = audit()
    const id = newOwnerId()
    await expect(createLab({ id, topology, directory: '/etc/hostname' })).rejects.toThrow(/the lab's process ended .*ENOTDIR.*hostname/)
    expect(left(before, id)).toEqual([])
    expect(listOwners().map((o) => o.id)).not.toContain(id)
  })

  test('whose process is killed says so, whatever is asked of it, and leaves nothing when it is ended', async () => {
    const before = audit()
    const making = makeLab()
    const cluster = await making
    await expect(cluster.check()).resolves.toBeUndefined()
    process.kill(daemonOf(making.id), 'SIGKILL')
    await expect(cluster.check()).rejects.toThrow("the lab's process ended (SIGKILL)")
    await expect(cluster.apply(webObjects('x'))).rejects.toThrow("the lab's process ended (SIGKILL)")
    await cluster[Symbol.asyncDispose]()
    expect(left(before, making.id)).toEqual([])
  })

  test('whose process is killed while it is asked to end leaves nothing', async () => {
    const before = audit()
    const making = makeLab()
    const cluster = await making
    const daemon = daemonOf(making.id)
    // Its end is not told yet when it is asked.
    process.kill(daemon, 'SIGKILL')
    await cluster[Symbol.asyncDispose]()
    expect(left(before, making.id)).toEqual([])
  })

  test('whose start is called off leaves nothing', async () => {
    const before = audit()
    const id = newOwnerId()
    const directory = join(scratch, id)
    mkdirSync(directory)
    const off = new AbortController()
    const onProgress = () => off.abort(new Error('enough'))
    await expect(createLab({ id, topology, directory, onProgress, signal: off.signal })).rejects.toThrow('enough')
    expect(left(before, id).filter((line) => !line.endsWith(directory))).toEqual([])
  })
})

describe('a run that is killed', { timeout: 60_000 }, () => {
  /** A process that owns a lab and waits, at the first line that starts with `until`. */
  async function ownerOf(id: string, until: string): Promise<ChildProcess> {
    const owner = spawn(
      pinnedNode,
      [
        '--disable-warning=ExperimentalWarning',
        '--v8-pool-size=0',
        join(import.meta.dirname, 'testing/owner.ts'),
        id,
        join(scratch, id),
        yaml,
      ],
      {
        stdio: ['ignore', 'pipe', 'inherit'],
        env: process.env,
      },
    )
    for await (const line of createInterface(owner.stdout!)) if (line.startsWith(until)) return owner
    throw new Error('the owner ended')
  }

  test.each(['up', 'network', 'nodes'])('with its lab frozen, after "%s", leaves only what clean removes', async (moment) => {
    const before = audit()
    const id = newOwnerId()
    const owner = await ownerOf(id, moment)
    process.kill(daemonOf(id), 'SIGSTOP')
    owner.kill('SIGKILL')
    await once(owner, 'exit')
    expect(processesOf(id).length).toBeGreaterThan(0)
    const report = await clean([id])
    expect(report.failed).toEqual([])
    expect(report.cleaned.map((c) => c.id)).toEqual([id])
    expect(left(before, id).filter((line) => !line.includes(`state added`))).toEqual([])
  })

  test('takes its lab with it', async () => {
    const before = audit()
    const id = newOwnerId()
    const owner = await ownerOf(id, 'up')
    // Ends when the lab's process has.
    const end = spawn('tail', [`--pid=${daemonOf(id)}`, '-s', '0.05', '-f', '/dev/null'])
    owner.kill('SIGKILL')
    await once(end, 'exit')
    expect(listOwners().map((o) => o.id)).not.toContain(id)
    expect(processesOf(id)).toEqual([])
    expect(left(before, id)).toEqual([])
  })
})
