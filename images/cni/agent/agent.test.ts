import { spawn } from 'node:child_process'
import { existsSync, fstatSync, readFileSync, rmSync, statSync, symlinkSync } from 'node:fs'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { TestNamespace } from '../testing/namespace.ts'
import { agentMain, golden, primaryConflist, TestNode } from '../testing/test-node.ts'
import { readConfig, unsupported } from './config.ts'
import { Metrics } from './metrics.ts'

let node: TestNode
beforeEach(async () => {
  node = await TestNode.create()
  await node.pod.run('ip', 'addr', 'add', '10.244.1.118/32', 'dev', 'lo')
  label('ambient')
  for (const name of ['plain', 'istio-system']) node.api.put('namespaces', { metadata: { name } })
  node.api.put('daemonsets', { metadata: { name: 'istio-cni-node', namespace: 'istio-system' } })
})
afterEach(() => node.close())

const uid = '926824ad-5147-4a54-91e1-bc3fdfefb228'
const prevResult = { cniVersion: '0.3.1', ips: [{ version: '4', address: '10.244.1.118/24', gateway: '10.244.1.1' }], dns: {} }

/** Sets or takes away the mesh's label of namespace demo. */
function label(mode?: string): void {
  node.api.put('namespaces', { metadata: { name: 'demo', ...(mode ? { labels: { 'istio.io/dataplane-mode': mode } } : {}) } })
}

function put(more: { labels?: object; annotations?: object; phase?: string; ip?: string } = {}): void {
  node.api.put('pods', {
    metadata: {
      name: 'httpbin',
      namespace: 'demo',
      uid,
      labels: more.labels ?? { app: 'httpbin' },
      ...(more.annotations ? { annotations: more.annotations } : {}),
    },
    spec: { nodeName: 'node-1', serviceAccountName: 'httpbin', containers: [{ name: 'c' }] },
    status: { phase: more.phase ?? 'Running', ...(more.ip ? { podIP: more.ip, podIPs: [{ ip: more.ip }] } : {}) },
  })
}

const annotation = () =>
  (node.api.get('pods', 'demo', 'httpbin')?.metadata.annotations as Record<string, string> | undefined)?.['ambient.istio.io/redirection']
const annotated = (value?: string) => node.api.until(() => annotation() === value)
const rules = async () => (await node.pod.run('iptables-nft-save')).split('\n').filter((l) => /ISTIO/.test(l)).length
const ipset = () => node.net.run('ipset', 'save')
const netnsOf = (ns: TestNamespace) => fstatSync(ns.fd, { bigint: true }).ino

test('a pod that starts: ADD is answered when rules, proxy, set and annotation are there', async () => {
  await node.agent()
  const z = node.ztunnel()
  await z.until((r) => r.length === 1)
  expect(z.kinds()).toEqual(['snapshotSent'])
  put({ phase: 'Pending' })
  const { code, result } = await node.cniAdd('demo', 'httpbin', prevResult)
  expect(code, JSON.stringify(result)).toBe(0)
  expect(result).toEqual(prevResult)
  expect(z.received[1]).toEqual({
    message: { add: { uid, workloadInfo: { name: 'httpbin', namespace: 'demo', serviceAccount: 'httpbin' } } },
    netns: netnsOf(node.pod),
  })
  expect(annotation()).toBe('enabled')
  expect(node.api.patches[0]).toMatchObject({ path: '/namespaces/demo/pods/httpbin/status', type: 'application/merge-patch+json' })
  expect(await rules()).toBeGreaterThan(10)
  expect(await ipset()).toContain(`10.244.1.118 comment "${uid}"`)
})

test('without a proxy ADD fails and the pod is pending; when one comes, the next ADD succeeds', async () => {
  await node.agent()
  put({ phase: 'Pending' })
  const { code, result } = await node.cniAdd('demo', 'httpbin', prevResult)
  expect(code).toBe(1)
  expect(result).toMatchObject({
    cniVersion: '0.3.1',
    code: 999,
    msg: expect.stringContaining('unable to push CNI event (status code 500): no ztunnel connection'),
  })
  expect(annotation()).toBe('pending')
  expect(await rules()).toBeGreaterThan(10)
  const z = node.ztunnel()
  await z.until((r) => r.some(({ message }) => 'snapshotSent' in message))
  expect((await node.cniAdd('demo', 'httpbin', prevResult)).code).toBe(0)
  await annotated('enabled')
})

test('a running pod is enrolled by label and let go again, without touching it', async () => {
  const agent = await node.agent()
  const z = node.ztunnel()
  node.runPod(uid)
  label()
  put({ ip: '10.244.1.118' })
  label('ambient')
  await annotated('enabled')
  expect(await rules()).toBeGreaterThan(10)
  expect(z.received.at(-1)).toMatchObject({ message: { add: { uid } }, netns: netnsOf(node.pod) })
  expect(await ipset()).toContain('10.244.1.118')
  label()
  // It says so before anything is taken away.
  await annotated()
  expect(await rules()).toBeGreaterThan(10)
  await z.until((r) => r.some(({ message }) => 'del' in message))
  expect(z.received.at(-1)!.message).toEqual({ del: { uid } })
  expect(await rules()).toBe(0)
  expect(await ipset()).not.toContain('10.244.1.118')
  expect(agent.lines.filter((l) => /Namespace demo/.test(l)).map((l) => l.split('\t').slice(1).join('|'))).toEqual([
    'info|cni-agent|Namespace demo is enabled in ambient mesh',
    'info|cni-agent|Namespace demo is disabled from ambient mesh',
    'info|cni-agent|Namespace demo is enabled in ambient mesh',
    'info|cni-agent|Namespace demo is disabled from ambient mesh',
  ])
})

test('a pod label wins over its namespace; a deleted pod and a finished one leave set and proxy', async () => {
  await node.agent()
  const z = node.ztunnel()
  node.runPod(uid)
  put({ ip: '10.244.1.118', labels: { 'istio.io/dataplane-mode': 'none' } })
  put({ ip: '10.244.1.118' })
  await annotated('enabled')
  put({ ip: '10.244.1.118', annotations: { 'ambient.istio.io/redirection': 'enabled' }, phase: 'Succeeded' })
  await z.until((r) => r.some(({ message }) => 'del' in message))
  expect(await ipset()).not.toContain('10.244.1.118')
  const before = z.received.length
  put({ ip: '10.244.1.118' })
  await z.until((r) => r.slice(before).some(({ message }) => 'add' in message))
  await annotated('enabled')
  node.api.delete('pods', 'demo', 'httpbin')
  await z.until((r) => r.slice(before).some(({ message }) => 'del' in message))
})

test('a restart keeps capture, hands pods to the proxy again, and repairs what was altered meanwhile', async () => {
  const first = await node.agent()
  node.ztunnel()
  node.runPod(uid)
  put({ ip: '10.244.1.118' })
  await annotated('enabled')
  const enrolled = await rules()
  expect(await first.stop()).toBe(0)
  expect(await rules()).toBe(enrolled)
  expect(existsSync(node.path('bin/istio-cni'))).toBe(true)
  expect(readFileSync(node.path('net.d/10-everyhop.conflist'), 'utf8')).toContain('istio-cni')
  expect(await node.net.run('iptables-nft-save', '-t', 'nat')).toContain('ISTIO_POSTRT')
  await node.pod.run('iptables-nft', '-t', 'nat', '-D', 'OUTPUT', '-j', 'ISTIO_OUTPUT')
  const patches = node.api.patches.length
  const second = await node.agent()
  await second.line(/differed and was repaired.*httpbin/)
  expect(await rules()).toBe(enrolled)
  const z = node.ztunnel()
  await z.until((r) => r.length === 2)
  expect(z.received).toMatchObject([{ message: { add: { uid } }, netns: netnsOf(node.pod) }, { message: { snapshotSent: {} } }])
  expect(node.api.patches.slice(patches)).toEqual([])
  expect(await ipset()).toContain('10.244.1.118')
})

test('gone or going, its DaemonSet means uninstall: node clean, pod still captured', async () => {
  const agent = await node.agent()
  node.ztunnel()
  node.runPod(uid)
  put({ ip: '10.244.1.118' })
  await annotated('enabled')
  node.api.put('daemonsets', { metadata: { name: 'istio-cni-node', namespace: 'istio-system', deletionTimestamp: '2026-11-21T00:00:00Z' } })
  expect(await agent.stop()).toBe(0)
  expect(existsSync(node.path('bin/istio-cni'))).toBe(false)
  expect(existsSync(node.path('run/istio-cni-kubeconfig'))).toBe(false)
  expect(JSON.parse(readFileSync(node.path('net.d/10-everyhop.conflist'), 'utf8'))).toEqual(JSON.parse(primaryConflist()))
  expect(await node.net.run('iptables-nft-save')).not.toContain('ISTIO')
  expect(await node.net.run('ipset', 'list', '-n')).toBe('')
  expect(await rules()).toBeGreaterThan(10)
})

test('files on the node are as upstream leaves them', async () => {
  await node.agent()
  const conflist = golden('node-conflist.json').replaceAll('/var/run/istio-cni', node.path('run')).replace('"info"', '"debug"')
  expect(readFileSync(node.path('net.d/10-everyhop.conflist'), 'utf8')).toBe(conflist)
  const mode = (path: string) => (statSync(node.path(path)).mode & 0o777).toString(8)
  expect(mode('bin/istio-cni')).toBe('755')
  expect(mode('run/istio-cni-kubeconfig')).toBe('600')
  expect(mode('run/pluginevent.sock')).toBe('666')
  expect(mode('run/log.sock')).toBe('666')
  expect(mode('z/ztunnel.sock')).toBe('755')
})

test("an ADD whose namespace is the node's own is refused", async () => {
  await node.agent()
  node.ztunnel()
  rmSync(node.path('host/var/run/netns/cni-1'))
  symlinkSync(`/proc/${node.net.pid}/ns/net`, node.path('host/var/run/netns/cni-1'))
  put({ phase: 'Pending' })
  const { code, result } = await node.cniAdd('demo', 'httpbin', prevResult)
  expect(code).toBe(1)
  expect(result.msg).toMatch(/refusing .*cni-1: it is the network namespace of the node itself/)
  expect(await node.net.run('iptables-nft-save')).not.toContain('ISTIO_OUTPUT')
})

test('settings that cannot work are all named at once', async () => {
  const child = spawn(process.execPath, [agentMain], {
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

test('settings that ask for what it does not do are named; metrics count what the plugin was answered', async () => {
  expect(unsupported({ NATIVE_NFTABLES: 'true', CHAINED_CNI_PLUGIN: 'true' })).toEqual([
    'NATIVE_NFTABLES=true is not supported: iptables is used',
  ])
  const metrics = new Metrics()
  for (const response_code of ['200', '500', '200']) metrics.count('istio_cni_plugin_requests_total', { response_code })
  expect(metrics.text()).toBe(
    '# TYPE istio_cni_plugin_requests_total counter\nistio_cni_plugin_requests_total{response_code="200"} 2\nistio_cni_plugin_requests_total{response_code="500"} 1\n',
  )
})

test('enablement selectors may be set, and are written out as upstream does', () => {
  const env = { NODE_NAME: 'n', KUBERNETES_SERVICE_HOST: 'h', KUBERNETES_SERVICE_PORT: '1' }
  const text = JSON.stringify([{ podSelector: { matchLabels: { 'istio.io/dataplane-mode': 'ambient' } } }])
  expect(readConfig({ ...env, AMBIENT_ENABLEMENT_SELECTOR: text }).selectors).toEqual([
    { podSelector: { matchLabels: { 'istio.io/dataplane-mode': 'ambient' } }, namespaceSelector: {} },
  ])
  expect(() => readConfig({ ...env, AMBIENT_ENABLEMENT_SELECTOR: '{' })).toThrow(
    /AMBIENT_ENABLEMENT_SELECTOR is "\{": expected a YAML list/,
  )
})
