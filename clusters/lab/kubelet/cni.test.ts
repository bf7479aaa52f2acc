import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import type { LabNode } from '../node/node.ts'
import { startTestLab, type TestLab } from '../node/testing.ts'
import { type Kubelet, startKubelet } from './kubelet.ts'
import { FakeApi, testImages, testPod } from './testing.ts'

/** A plugin that writes down its calls, passes its prevResult on, and fails when it is told to. */
const recorder = `#!/bin/sh
config=$(cat)
printf '%s %s %s %s %s %s\\n' "$CNI_COMMAND" "$CNI_CONTAINERID" "$CNI_NETNS" "$CNI_IFNAME" "$CNI_ARGS" "$config" >> /run/recorder.log
if [ "$CNI_COMMAND" = ADD ] && [ -f /run/recorder.fail ]; then
  echo '{"cniVersion":"0.3.1","code":100,"msg":"no agent today","details":"come back later"}'
  exit 1
fi
if [ "$CNI_COMMAND" = DEL ] && [ -f /run/recorder.stuck ]; then echo stuck >&2; exit 1; fi
[ "$CNI_COMMAND" = ADD ] && printf '%s' "$config" | sed 's/.*"prevResult":\\(.*\\)}$/\\1/'
exit 0
`

let lab: TestLab
let node: LabNode
let api: FakeApi
let kubelet: Kubelet

beforeAll(async () => {
  lab = await startTestLab(['one'])
  node = lab.nodes[0] as LabNode
  api = new FakeApi()
  for (const name of ['recorder', 'recorder2']) writeFileSync(node.hostPath(`/opt/cni/bin/${name}`), recorder, { mode: 0o755 })
  kubelet = await startKubelet({ node, api, registry: lab.registry, images: testImages })
})
afterAll(async () => {
  await kubelet.stop()
  await lab.teardown()
})
beforeEach(() => node.run(['sh', '-c', 'rm -f /run/recorder.* /etc/cni/net.d/0*']))

const primary = () => JSON.parse(readFileSync(node.hostPath('/etc/cni/net.d/10-everyhop.conflist'), 'utf8'))
const chain = (file: string, ...types: string[]) => {
  const list = primary()
  list.plugins.push(...types.map((type) => ({ type, setting: type })))
  writeFileSync(node.hostPath(`/etc/cni/net.d/${file}`), JSON.stringify(list))
}
const calls = () =>
  readFileSync(node.hostPath('/run/recorder.log'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => {
      const [command, id, netns, ifname, args, ...config] = line.split(' ')
      return { command, id, netns, ifname, args, config: JSON.parse(config.join(' ')) }
    })

test('the chain of the first file runs in order, each plugin with the result before; DEL in reverse', async () => {
  chain('05-first.conflist', 'recorder', 'recorder2')
  const pod = testPod({ name: 'chained', node })
  api.set(pod)
  await api.ready('chained')
  const [first, second, ...more] = calls()
  expect(more).toEqual([])
  expect(first).toMatchObject({
    command: 'ADD',
    ifname: 'eth0',
    config: { type: 'recorder', setting: 'recorder', name: 'everyhop', cniVersion: '0.3.1' },
  })
  expect(second?.config).toMatchObject({ type: 'recorder2' })
  expect(first?.netns).toMatch(/^\/var\/run\/netns\/cni-[-0-9a-f]{36}$/)
  expect(first?.args).toBe(
    `IgnoreUnknown=1;K8S_POD_NAMESPACE=demo;K8S_POD_NAME=chained;K8S_POD_INFRA_CONTAINER_ID=${first?.id};K8S_POD_UID=${pod.metadata.uid}`,
  )
  const address = api.get('chained').status?.podIP
  expect(first?.config.prevResult.ips[0].address).toBe(`${address}/24`)
  expect(second?.config.prevResult).toEqual(first?.config.prevResult)
  api.delete('chained')
  await api.gone('chained')
  expect(calls().slice(2)).toMatchObject([
    { command: 'DEL', id: first?.id, config: { type: 'recorder2', prevResult: first?.config.prevResult } },
    { command: 'DEL', id: first?.id, config: { type: 'recorder' } },
  ])
  expect(readdirSync(node.hostPath('/run/netns'))).toEqual([])
  expect(await node.run(['ip', '-o', 'link'])).not.toContain('veth')
})

test('a failing plugin is told in an event, DEL is run, and the pod starts once the plugin works', async () => {
  chain('05-first.conflist', 'recorder')
  await node.run(['touch', '/run/recorder.fail'])
  api.set(testPod({ name: 'late', node }))
  await api.until('two failures', () => api.reasons('late').filter((reason) => reason === 'FailedCreatePodSandBox').length >= 2)
  const event = api.events.find((e) => e.reason === 'FailedCreatePodSandBox')
  expect(event?.message).toMatch(
    /^Failed to create pod sandbox: .*failed to setup network for sandbox "[0-9a-f]{64}": plugin type="recorder" name="everyhop" failed \(add\): no agent today; come back later$/,
  )
  expect(api.get('late').status).toMatchObject({
    phase: 'Pending',
    containerStatuses: [{ state: { waiting: { reason: 'ContainerCreating' } } }],
  })
  const early = calls()
  expect(early.slice(0, 2).map((call) => call.command)).toEqual(['ADD', 'DEL'])
  expect(early[1]?.id).toBe(early[0]?.id)
  await node.run(['rm', '/run/recorder.fail'])
  await api.ready('late')
  // Every attempt is a sandbox of its own, and none of the failed ones is left.
  expect(new Set(calls().map((call) => call.netns)).size).toBeGreaterThanOrEqual(3)
  expect(readdirSync(node.hostPath('/run/netns'))).toHaveLength(1)
  api.delete('late')
  await api.gone('late')
})

test('a pod that never got its network can be deleted', async () => {
  chain('05-first.conflist', 'recorder')
  await node.run(['touch', '/run/recorder.fail'])
  api.set(testPod({ name: 'never', node }))
  await api.until('a failure', () => api.reasons('never').includes('FailedCreatePodSandBox'))
  api.delete('never')
  await api.gone('never')
  expect(readdirSync(node.hostPath('/run/netns'))).toEqual([])
})

test('a plugin whose DEL always fails does not keep the pod', async () => {
  chain('05-first.conflist', 'recorder')
  api.set(testPod({ name: 'stuck', node }))
  await api.ready('stuck')
  await node.run(['touch', '/run/recorder.stuck'])
  api.delete('stuck')
  await api.gone('stuck')
  expect(api.events.find((e) => e.reason === 'FailedKillPod')?.message).toMatch(
    /type="recorder" name="everyhop" failed \(del\): netplugin failed \(exit code 1\): stuck$/,
  )
  // The other plugins were called all the same: the address is free.
  expect(readdirSync(node.hostPath('/run/cni-ipam-state/everyhop')).filter((name) => name.startsWith('10.'))).toEqual([])
})

test('a configuration that went away does not keep a pod, one that is broken is named', async () => {
  api.set(testPod({ name: 'before', node }))
  await api.ready('before')
  const text = readFileSync(node.hostPath('/etc/cni/net.d/10-everyhop.conflist'), 'utf8')
  await node.run(['rm', '/etc/cni/net.d/10-everyhop.conflist'])
  api.set(testPod({ name: 'after', node }))
  await api.until('a failure', () => api.events.some((e) => /cni config uninitialized/.test(String(e.message))))
  api.delete('before')
  await api.gone('before')
  writeFileSync(node.hostPath('/etc/cni/net.d/05-bad.conflist'), '{')
  await api.until('a failure', () => api.events.some((e) => /05-bad\.conflist on node one is not JSON/.test(String(e.message))))
  writeFileSync(node.hostPath('/etc/cni/net.d/10-everyhop.conflist'), text)
  await node.run(['rm', '/etc/cni/net.d/05-bad.conflist'])
  await api.ready('after')
  api.delete('after')
  await api.gone('after')
})

test('a plugin that is not installed is named', async () => {
  chain('05-first.conflist', 'nowhere')
  api.set(testPod({ name: 'lost', node }))
  await api.until('a failure', () => api.events.some((e) => /plugin type="nowhere".*No such file/.test(String(e.message))))
  api.delete('lost')
  await api.gone('lost')
  expect(existsSync(node.hostPath('/var/lib/kubelet/pods'))).toBe(true)
  expect(readdirSync(node.hostPath('/var/lib/kubelet/pods'))).toEqual([])
})
