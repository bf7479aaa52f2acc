import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, fstatSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type FakeApi, fakeApi } from '../testing/fake-api.ts'
import { FakeZtunnel } from '../testing/fake-ztunnel.ts'
import { type TestNamespace, testNamespace } from '../testing/namespace.ts'

const golden = (name: string) => readFileSync(new URL(`../fixtures/inpod/${name}`, import.meta.url), 'utf8')
const primary = () => {
  const conf = JSON.parse(golden('node-conflist.json'))
  return JSON.stringify({ ...conf, plugins: conf.plugins.filter((p: { type: string }) => p.type !== 'istio-cni') })
}

let dir: string
let api: FakeApi
let node: TestNamespace
let pod: TestNamespace
const agents: Agent[] = []
const ztunnels: FakeZtunnel[] = []

interface Agent {
  process: ChildProcess
  lines: string[]
  line(re: RegExp): Promise<string>
  stop(): Promise<number | null>
}

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'everyhop-agent-'))
  ;[api, node, pod] = await Promise.all([fakeApi(dir), testNamespace(), testNamespace()])
  mkdirSync(join(dir, 'proc/1/ns'), { recursive: true })
  symlinkSync(`/proc/${node.pid}/ns/net`, join(dir, 'proc/1/ns/net'))
  mkdirSync(join(dir, 'host/var/run/netns'), { recursive: true })
  symlinkSync(`/proc/${pod.pid}/ns/net`, join(dir, 'host/var/run/netns/cni-1'))
  mkdirSync(join(dir, 'net.d'))
  writeFileSync(join(dir, 'net.d/10-everyhop.conflist'), primary())
  await pod.run('ip', 'addr', 'add', '10.244.1.118/32', 'dev', 'lo')
  api.put('namespaces', { metadata: { name: 'demo', labels: { 'istio.io/dataplane-mode': 'ambient' } } })
  api.put('namespaces', { metadata: { name: 'plain' } })
  api.put('namespaces', { metadata: { name: 'istio-system' } })
  api.put('daemonsets', { metadata: { name: 'istio-cni-node', namespace: 'istio-system' } })
})
afterEach(async () => {
  for (const z of ztunnels.splice(0)) z.socket.close()
  for (const a of agents.splice(0)) a.process.kill('SIGKILL')
  await Promise.all([api.close(), node.close(), pod.close()])
  rmSync(dir, { recursive: true })
})

async function startAgent(ready = true): Promise<Agent> {
  const child = spawn(process.execPath, [fileURLToPath(new URL('./main.ts', import.meta.url))], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: {
      PATH: process.env.PATH,
      NODE_NAME: 'node-1',
      POD_NAMESPACE: 'istio-system',
      KUBERNETES_SERVICE_HOST: '127.0.0.1',
      KUBERNETES_SERVICE_PORT: String(api.port),
      SERVICE_ACCOUNT_DIR: api.serviceAccountDir,
      MOUNTED_CNI_NET_DIR: join(dir, 'net.d'),
      MOUNTED_CNI_BIN_DIR: join(dir, 'bin'),
      CNI_AGENT_RUN_DIR: join(dir, 'run'),
      ZDS_SERVER_SOCKET: join(dir, 'z/ztunnel.sock'),
      HOST_PROC: join(dir, 'proc'),
      HOST_ROOT: join(dir, 'host'),
      HEALTH_PORT: '0',
      LOG_LEVEL: 'debug',
    },
  })
  const lines: string[] = []
  const looks = new Set<() => void>()
  createInterface(child.stdout!).on('line', (l) => {
    lines.push(l)
    for (const look of looks) look()
  })
  const exited = new Promise<number | null>((resolve) => child.once('exit', resolve))
  const agent: Agent = {
    process: child,
    lines,
    line: (re) =>
      new Promise((resolve, reject) => {
        const look = () => {
          const found = lines.find((l) => re.test(l))
          if (found === undefined) return
          looks.delete(look)
          resolve(found)
        }
        looks.add(look)
        look()
        void exited.then((code) => reject(new Error(`agent exited with ${code}:\n${lines.join('\n')}`)))
      }),
    stop: () => {
      child.kill('SIGTERM')
      return exited
    },
  }
  agents.push(agent)
  if (ready) await agent.line(/ambient agent is ready/)
  return agent
}

const connect = () => {
  const z = new FakeZtunnel(join(dir, 'z/ztunnel.sock'))
  ztunnels.push(z)
  return z
}

const uid = '926824ad-5147-4a54-91e1-bc3fdfefb228'
const httpbin = (more: { labels?: object; annotations?: object; phase?: string; ip?: string; uid?: string } = {}) => ({
  metadata: {
    name: 'httpbin',
    namespace: 'demo',
    uid: more.uid ?? uid,
    labels: more.labels ?? { app: 'httpbin' },
    ...(more.annotations ? { annotations: more.annotations } : {}),
  },
  spec: { nodeName: 'node-1', serviceAccountName: 'httpbin', containers: [{ name: 'c' }] },
  status: { phase: more.phase ?? 'Running', ...(more.ip ? { podIP: more.ip, podIPs: [{ ip: more.ip }] } : {}) },
})

/** A process of the pod, as the node's /proc shows it. */
function running() {
  mkdirSync(join(dir, 'proc/4242/ns'), { recursive: true })
  symlinkSync(`/proc/${pod.pid}/ns/net`, join(dir, 'proc/4242/ns/net'))
  writeFileSync(join(dir, 'proc/4242/cgroup'), `0::/kubepods/besteffort/pod${uid}/abc\n`)
  writeFileSync(join(dir, 'proc/4242/stat'), `4242 (a b) S ${'0 '.repeat(18)}100 0\n`)
}

async function cniAdd(): Promise<{ code: number | null; stdout: string }> {
  const child = spawn(join(dir, 'bin/istio-cni'), {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: {
      PATH: process.env.PATH,
      CNI_COMMAND: 'ADD',
      CNI_CONTAINERID: 'abc',
      CNI_NETNS: '/var/run/netns/cni-1',
      CNI_IFNAME: 'eth0',
      CNI_PATH: '/opt/cni/bin',
      CNI_ARGS: `IgnoreUnknown=1;K8S_POD_NAMESPACE=demo;K8S_POD_NAME=httpbin;K8S_POD_UID=${uid}`,
    },
  })
  const list = JSON.parse(readFileSync(join(dir, 'net.d/10-everyhop.conflist'), 'utf8'))
  const prevResult = { cniVersion: '0.3.1', ips: [{ version: '4', address: '10.244.1.118/24', gateway: '10.244.1.1' }], dns: {} }
  child.stdin.end(JSON.stringify({ ...list.plugins.at(-1), cniVersion: list.cniVersion, name: list.name, prevResult }))
  let stdout = ''
  child.stdout.on('data', (d) => {
    stdout += d
  })
  const code = await new Promise<number | null>((resolve) => child.once('exit', resolve))
  return { code, stdout }
}

const annotation = () =>
  (api.get('pods', 'demo', 'httpbin')?.metadata.annotations as Record<string, string> | undefined)?.['ambient.istio.io/redirection']
const rules = async () => (await pod.run('iptables-nft-save')).split('\n').filter((l) => /ISTIO/.test(l)).length
const netnsOf = (ns: TestNamespace) => fstatSync(ns.fd, { bigint: true }).ino

test('a pod that starts: ADD is answered when rules, proxy, set and annotation are there', async () => {
  await startAgent()
  const z = connect()
  await z.until((r) => r.length === 1)
  expect(z.kinds()).toEqual(['snapshotSent'])
  api.put('pods', httpbin({ phase: 'Pending' }))
  const { code, stdout } = await cniAdd()
  expect(code, stdout).toBe(0)
  expect(JSON.parse(stdout)).toEqual({
    cniVersion: '0.3.1',
    ips: [{ version: '4', address: '10.244.1.118/24', gateway: '10.244.1.1' }],
    dns: {},
  })
  expect(z.received[1]).toEqual({
    message: { add: { uid, workloadInfo: { name: 'httpbin', namespace: 'demo', serviceAccount: 'httpbin' } } },
    netns: netnsOf(pod),
  })
  expect(annotation()).toBe('enabled')
  expect(api.patches[0]).toMatchObject({ path: '/namespaces/demo/pods/httpbin/status', type: 'application/merge-patch+json' })
  expect(await rules()).toBeGreaterThan(10)
  expect(await node.run('ipset', 'save')).toContain(`10.244.1.118 comment "${uid}"`)
})

test('without a proxy ADD fails and the pod is pending; when one comes, the next ADD succeeds', async () => {
  await startAgent()
  api.put('pods', httpbin({ phase: 'Pending' }))
  const { code, stdout } = await cniAdd()
  expect(code).toBe(1)
  expect(JSON.parse(stdout)).toMatchObject({
    cniVersion: '0.3.1',
    code: 999,
    msg: expect.stringContaining('unable to push CNI event (status code 500): no ztunnel connected'),
  })
  expect(annotation()).toBe('pending')
  expect(await rules()).toBeGreaterThan(10)
  const z = connect()
  await z.until((r) => r.some(({ message }) => 'snapshotSent' in message))
  expect((await cniAdd()).code).toBe(0)
  await api.until(() => annotation() === 'enabled')
})

test('a running pod is enrolled by label and let go again, without touching it', async () => {
  const agent = await startAgent()
  const z = connect()
  running()
  api.put('namespaces', { metadata: { name: 'demo' } })
  api.put('pods', httpbin({ ip: '10.244.1.118' }))
  api.put('namespaces', { metadata: { name: 'demo', labels: { 'istio.io/dataplane-mode': 'ambient' } } })
  await api.until(() => annotation() === 'enabled')
  expect(await rules()).toBeGreaterThan(10)
  expect(z.received.at(-1)).toMatchObject({ message: { add: { uid } }, netns: netnsOf(pod) })
  expect(await node.run('ipset', 'save')).toContain('10.244.1.118')
  api.put('namespaces', { metadata: { name: 'demo' } })
  await api.until(() => annotation() === undefined)
  expect(z.received.at(-1)!.message).toEqual({ del: { uid } })
  expect(await rules()).toBe(0)
  expect(await node.run('ipset', 'save')).not.toContain('10.244.1.118')
  expect(agent.lines.filter((l) => /Namespace demo/.test(l)).map((l) => l.split('\t').slice(1).join('|'))).toEqual([
    'info|cni-agent|Namespace demo is enabled in ambient mesh',
    'info|cni-agent|Namespace demo is disabled from ambient mesh',
    'info|cni-agent|Namespace demo is enabled in ambient mesh',
    'info|cni-agent|Namespace demo is disabled from ambient mesh',
  ])
})

test('a pod label wins over its namespace; a deleted pod and a finished one leave set and proxy', async () => {
  await startAgent()
  const z = connect()
  running()
  api.put('pods', httpbin({ ip: '10.244.1.118', labels: { 'istio.io/dataplane-mode': 'none' } }))
  api.put('pods', httpbin({ ip: '10.244.1.118' }))
  await api.until(() => annotation() === 'enabled')
  api.put('pods', { ...httpbin({ ip: '10.244.1.118', annotations: { 'ambient.istio.io/redirection': 'enabled' }, phase: 'Succeeded' }) })
  await z.until((r) => r.some(({ message }) => 'del' in message))
  expect(await node.run('ipset', 'save')).not.toContain('10.244.1.118')
  const before = z.received.length
  api.put('pods', httpbin({ ip: '10.244.1.118' }))
  await z.until((r) => r.slice(before).some(({ message }) => 'add' in message))
  await api.until(() => annotation() === 'enabled')
  api.delete('pods', 'demo', 'httpbin')
  await z.until((r) => r.slice(before).some(({ message }) => 'del' in message))
})

test('a restart keeps capture, hands pods to the proxy again, and repairs what was altered meanwhile', async () => {
  const first = await startAgent()
  connect()
  running()
  api.put('pods', httpbin({ ip: '10.244.1.118' }))
  await api.until(() => annotation() === 'enabled')
  const enrolled = await rules()
  expect(await first.stop()).toBe(0)
  expect(await rules()).toBe(enrolled)
  expect(existsSync(join(dir, 'bin/istio-cni'))).toBe(true)
  expect(readFileSync(join(dir, 'net.d/10-everyhop.conflist'), 'utf8')).toContain('istio-cni')
  expect(await node.run('iptables-nft-save', '-t', 'nat')).toContain('ISTIO_POSTRT')
  await pod.run('iptables-nft', '-t', 'nat', '-D', 'OUTPUT', '-j', 'ISTIO_OUTPUT')
  const patches = api.patches.length
  const second = await startAgent()
  await second.line(/differed and was repaired.*httpbin/)
  expect(await rules()).toBe(enrolled)
  const z = connect()
  await z.until((r) => r.length === 2)
  expect(z.received).toMatchObject([{ message: { add: { uid } }, netns: netnsOf(pod) }, { message: { snapshotSent: {} } }])
  expect(api.patches.slice(patches)).toEqual([])
  expect(await node.run('ipset', 'save')).toContain('10.244.1.118')
})

test('gone or going, its DaemonSet means uninstall: node clean, pod still captured', async () => {
  const agent = await startAgent()
  connect()
  running()
  api.put('pods', httpbin({ ip: '10.244.1.118' }))
  await api.until(() => annotation() === 'enabled')
  api.put('daemonsets', { metadata: { name: 'istio-cni-node', namespace: 'istio-system', deletionTimestamp: '2026-11-21T00:00:00Z' } })
  expect(await agent.stop()).toBe(0)
  expect(existsSync(join(dir, 'bin/istio-cni'))).toBe(false)
  expect(existsSync(join(dir, 'run/istio-cni-kubeconfig'))).toBe(false)
  expect(JSON.parse(readFileSync(join(dir, 'net.d/10-everyhop.conflist'), 'utf8'))).toEqual(JSON.parse(primary()))
  expect(await node.run('iptables-nft-save')).not.toContain('ISTIO')
  expect(await node.run('ipset', 'list', '-n')).toBe('')
  expect(await rules()).toBeGreaterThan(10)
})

test('files on the node are as upstream leaves them', async () => {
  await startAgent()
  const conflist = golden('node-conflist.json').replaceAll('/var/run/istio-cni', join(dir, 'run')).replace('"info"', '"debug"')
  expect(readFileSync(join(dir, 'net.d/10-everyhop.conflist'), 'utf8')).toBe(conflist)
  const mode = (path: string) => (statSync(join(dir, path)).mode & 0o777).toString(8)
  expect(mode('bin/istio-cni')).toBe('755')
  expect(mode('run/istio-cni-kubeconfig')).toBe('600')
  expect(mode('run/pluginevent.sock')).toBe('666')
  expect(mode('run/log.sock')).toBe('666')
  expect(mode('z/ztunnel.sock')).toBe('755')
})

test("an ADD whose namespace is the node's own is refused", async () => {
  await startAgent()
  connect()
  rmSync(join(dir, 'host/var/run/netns/cni-1'))
  symlinkSync(`/proc/${node.pid}/ns/net`, join(dir, 'host/var/run/netns/cni-1'))
  api.put('pods', httpbin({ phase: 'Pending' }))
  const { code, stdout } = await cniAdd()
  expect(code).toBe(1)
  expect(JSON.parse(stdout).msg).toMatch(/refusing .*cni-1: it is the network namespace of the node itself/)
  expect(await node.run('iptables-nft-save')).not.toContain('ISTIO_OUTPUT')
})

test('settings that cannot work are all named at once', async () => {
  const child = spawn(process.execPath, [fileURLToPath(new URL('./main.ts', import.meta.url))], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { AMBIENT_DNS_CAPTURE: 'yes' },
  })
  let out = ''
  child.stdout.on('data', (d) => {
    out += d
  })
  expect(await new Promise((resolve) => child.once('exit', resolve))).toBe(1)
  expect(out).toMatch(/NODE_NAME is not set.*AMBIENT_DNS_CAPTURE is "yes": expected true or false.*KUBERNETES_SERVICE_HOST is not set/)
})
