import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { TestNamespace } from '../testing/namespace.ts'
import { type NodeNetwork, nodeNetwork } from '../testing/node-network.ts'
import { TestNode } from '../testing/test-node.ts'

let network: NodeNetwork
let node: TestNode
let proxy: TestNamespace
beforeEach(async () => {
  network = await nodeNetwork()
  proxy = await network.addPod('ztunnel', 2)
  node = await TestNode.create({ net: network.node, pod: await network.addPod('sleep', 10) })
  node.api.put('nodes', { metadata: { name: 'node-1' }, spec: { podCIDR: '10.244.1.0/24' } })
  for (const name of ['demo', 'istio-system']) label(name)
  node.api.put('daemonsets', { metadata: { name: 'istio-cni-node', namespace: 'istio-system' } })
})
afterEach(async () => {
  await node.close()
  await network[Symbol.asyncDispose]()
})

const settings = () => ({ AMBIENT_REDIRECT_MODE: 'iptables', MESH_RELEASE: '1.20', AMBIENT_CONFIG_DIR: node.path('ambient-config') })
const label = (name: string, mode?: string) =>
  node.api.put('namespaces', { metadata: { name, ...(mode ? { labels: { 'istio.io/dataplane-mode': mode } } : {}) } })
const put = (
  name: string,
  namespace: string,
  ip: string | undefined,
  more: { ready?: boolean; labels?: object; redirection?: string | null } = {},
) =>
  node.api.put('pods', {
    metadata: {
      name,
      namespace,
      uid: uid(name),
      labels: more.labels ?? {},
      ...(more.redirection ? { annotations: { 'ambient.istio.io/redirection': more.redirection } } : {}),
    },
    spec: { nodeName: 'node-1', containers: [{ name: 'c' }] },
    status: {
      phase: 'Running',
      ...(ip ? { podIP: ip, podIPs: [{ ip }] } : {}),
      conditions: [{ type: 'Ready', status: more.ready === false ? 'False' : 'True' }],
    },
  })
// As the API makes them: the agent finds a pod's processes by it.
const uid = (name: string) => `926824ad-5147-4a54-91e1-${Buffer.from(name.padEnd(6, '0').slice(0, 6)).toString('hex')}`
const annotation = (name: string) =>
  (node.api.get('pods', 'demo', name)?.metadata.annotations as Record<string, string> | undefined)?.['ambient.istio.io/redirection']
const rules = async () => (await node.net.run('iptables-nft-save')).split('\n').filter((l) => /^(?:-A|:(?:ztunnel|KUBE))/.test(l))
const set = async () => (await node.net.run('ipset', 'save')).split('\n').filter((l) => l.startsWith('add '))
const pods = async () => (await node.net.run('ip', 'route', 'show', 'table', '100')).split('\n').filter((l) => l.includes('istioin'))

function startProxy(): void {
  node.runPod(uid('ztunnel'), proxy, 4300)
  put('ztunnel', 'istio-system', '10.244.1.2', { labels: { app: 'ztunnel' } })
}

test('pods wait for a ztunnel, come with it, leave by their label, and an uninstall leaves nothing', async () => {
  const clean = await rules()
  const agent = await node.agent(settings())
  expect(readFileSync(node.path('ambient-config/config.json'), 'utf8')).toBe('{"ztunnelReady":false,"redirectMode":"iptables"}')
  node.runPod(uid('sleep'))
  label('demo', 'ambient')
  put('sleep', 'demo', '10.244.1.10')
  await agent.line(/failed to reconcile pod: pod demo\/sleep cannot be captured yet: no ztunnel has been ready on this node/)
  expect(annotation('sleep')).toBeUndefined()
  startProxy()
  await node.api.until(() => annotation('sleep') === 'enabled')
  expect(await set()).toEqual([`add ztunnel-pods-ips 10.244.1.10 comment "${uid('sleep')}"`])
  expect(await pods()).toEqual(['10.244.1.10 via 192.168.126.2 dev istioin src 10.244.1.1 '])
  expect(readFileSync(node.path('ambient-config/config.json'), 'utf8')).toBe('{"ztunnelReady":true,"redirectMode":"iptables"}')
  label('demo')
  await agent.line(/pod has left the mesh/)
  expect(await set()).toEqual([])
  expect(await pods()).toEqual([])
  node.api.delete('daemonsets', 'istio-system', 'istio-cni-node')
  expect(await agent.stop()).toBe(0)
  expect(await rules()).toEqual(clean)
  expect(await node.net.run('ip', 'rule')).not.toMatch(/^10[0-3]:/m)
  expect(await node.net.run('ipset', 'list', '-name')).toBe('')
  expect(await node.net.run('ip', '-br', 'link')).not.toContain('istio')
  expect(existsSync(node.path('bin/istio-cni'))).toBe(false)
  expect(readdirSync(node.path('ambient-config'))).toEqual([])
})

test('a pod that starts: ADD fails until a ztunnel is ready, and is answered when set and route are there', async () => {
  await node.agent(settings())
  label('demo', 'ambient')
  put('sleep', 'demo', undefined)
  const prevResult = { cniVersion: '0.3.1', ips: [{ version: '4', address: '10.244.1.10/24', gateway: '10.244.1.1' }], dns: {} }
  const refused = await node.cniAdd('demo', 'sleep', prevResult)
  expect(refused.code).toBe(1)
  expect(refused.result.msg).toMatch(/no ztunnel is ready on this node: .*config\.json says \{"ztunnelReady":false,/)
  // Without an address the pod is not called enrolled, which it is not.
  expect(annotation('sleep')).toBeUndefined()
  startProxy()
  const added = await (async () => {
    for (;;) {
      const answer = await node.cniAdd('demo', 'sleep', prevResult)
      if (answer.code === 0) return answer
      // As a kubelet does: it asks again.
    }
  })()
  expect(added.result).toEqual(prevResult)
  expect(await set()).toEqual([`add ztunnel-pods-ips 10.244.1.10 comment "${uid('sleep')}"`])
  expect(annotation('sleep')).toBe('enabled')
})

test('an agent that is stopped or killed leaves the capture, and its successor finds every pod again', async () => {
  const first = await node.agent(settings())
  node.runPod(uid('sleep'))
  label('demo', 'ambient')
  put('sleep', 'demo', '10.244.1.10')
  startProxy()
  await node.api.until(() => annotation('sleep') === 'enabled')
  const before = await rules()
  expect(await first.stop()).toBe(0)
  expect(readFileSync(node.path('ambient-config/config.json'), 'utf8')).toContain('"ztunnelReady":false')
  expect((await node.cniAdd('demo', 'sleep', { cniVersion: '0.3.1', ips: [], dns: {} })).result.msg).toMatch(/says \{"ztunnelReady":false,/)
  expect(await set()).toHaveLength(1)
  expect(await rules()).toEqual(before)
  // Meanwhile a stranger takes the pod out by hand.
  await node.net.run('ipset', 'del', 'ztunnel-pods-ips', '10.244.1.10')
  await node.net.run('ip', 'route', 'del', '10.244.1.10', 'table', '100')
  const second = await node.agent(settings())
  await second.line(/redirection of an enrolled pod differed and was repaired/)
  await second.line(/ztunnel is active/)
  expect(await set()).toHaveLength(1)
  expect(await pods()).toHaveLength(1)
})

test('the annotation `disabled` keeps a pod out, takes it out, and is left as the user wrote it; a label of its own does nothing', async () => {
  const agent = await node.agent(settings())
  node.runPod(uid('sleep'))
  label('demo', 'ambient')
  startProxy()
  const redirection = (value: string | null) =>
    put('sleep', 'demo', '10.244.1.10', { labels: { 'istio.io/dataplane-mode': 'none' }, redirection: value })
  redirection('disabled')
  const prevResult = { cniVersion: '0.3.1', ips: [{ version: '4', address: '10.244.1.10/24', gateway: '10.244.1.1' }], dns: {} }
  expect(await node.cniAdd('demo', 'sleep', prevResult)).toMatchObject({ code: 0, result: prevResult })
  expect(await set()).toEqual([])
  redirection(null)
  await node.api.until(() => annotation('sleep') === 'enabled')
  expect(await set()).toHaveLength(1)
  redirection('disabled')
  await agent.line(/pod has left the mesh/)
  expect(await set()).toEqual([])
  expect(annotation('sleep')).toBe('disabled')
})
