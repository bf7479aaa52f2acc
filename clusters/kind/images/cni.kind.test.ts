import { chmodSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { execa } from 'execa'
import { type StartedTestContainer, Wait } from 'testcontainers'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import type { ApiServer } from '../../lab/apiserver/server.ts'
import { resources } from '../../lab/apiserver/store.ts'
import { apiPort, meshApi } from './testing/api.ts'
import { DockerImages } from './testing/docker-images.ts'

const primary = JSON.stringify({ cniVersion: '0.3.1', name: 'primary', plugins: [{ type: 'ptp', ipam: { type: 'host-local' } }] })

let images: DockerImages
beforeAll(async () => {
  images = await DockerImages.load()
})
afterAll(() => images?.[Symbol.asyncDispose]())
let api: ApiServer
/** Stands in for a node: its first process and its network are what the agent takes for the node's. */
let node: StartedTestContainer
let folder: string
beforeEach(async () => {
  node = await images
    .container('sleep')
    .withNetworkMode('none')
    .withTmpFs({ '/var/run/everyhop': 'mode=1777' })
    .withWaitStrategy(Wait.forLogMessage(/listening/))
    .start()
  api = await meshApi(images, node)
  folder = images.folder('node')
  for (const name of ['bin', 'net.d', 'run', 'ztunnel', 'netns', 'account']) mkdirSync(join(folder, name))
  writeFileSync(join(folder, 'net.d/10-primary.conflist'), primary)
  writeFileSync(join(folder, 'account/ca.crt'), api.caPem)
  writeFileSync(join(folder, 'account/token'), api.tokens.issue({ namespace: 'istio-system', name: 'istio-cni' }).token)
  chmodSync(folder, 0o755)
  return () => api.close()
})

/** The agent, with the rights and mounts that its DaemonSet gives. */
function agent(): Promise<StartedTestContainer> {
  const mounts = {
    bin: '/host/opt/cni/bin',
    'net.d': '/host/etc/cni/net.d',
    run: '/var/run/istio-cni',
    ztunnel: '/var/run/ztunnel',
    netns: '/host/var/run/netns',
    account: '/var/run/secrets/kubernetes.io/serviceaccount',
  }
  return images
    .container('cni', ['NET_ADMIN', 'NET_RAW', 'SYS_PTRACE', 'SYS_ADMIN', 'DAC_OVERRIDE'])
    .withProcessesOf(node)
    .withNetworkMode(`container:${node.getId()}`)
    .withBindMounts(Object.entries(mounts).map(([name, target]) => ({ source: join(folder, name), target })))
    .withEnvironment({ NODE_NAME: 'one', KUBERNETES_SERVICE_HOST: '127.0.0.1', KUBERNETES_SERVICE_PORT: `${apiPort}`, HOST_PROC: '/proc' })
    .withWaitStrategy(Wait.forLogMessage(/initial installation complete/))
    .start()
}

const conflist = () => readFileSync(join(folder, 'net.d/10-primary.conflist'), 'utf8')
const chained = () => (JSON.parse(conflist()) as { plugins: { type: string }[] }).plugins.map(({ type }) => type)
const readiness = async () => (await fetch(`http://127.0.0.1:${await images.relay(node, 8000)}/readyz`)).status

test('the agent puts plugin, configuration and kubeconfig on the node, programs it, and takes all away when its DaemonSet is gone', async () => {
  const container = await agent()
  expect(chained()).toEqual(['ptp', 'istio-cni'])
  expect(statSync(join(folder, 'run/istio-cni-kubeconfig')).mode & 0o777).toBe(0o600)
  await expect.poll(readiness, { timeout: 20_000 }).toBe(200)
  // Nothing around it: neither a dynamic loader nor a shell, nor the agent's files.
  const root = images.folder('root')
  await execa('cp', [join(folder, 'bin/istio-cni'), root])
  const { stdout } = await execa('chroot', [root, '/istio-cni'], { env: { CNI_COMMAND: 'VERSION' }, input: '{}' })
  expect(JSON.parse(stdout).supportedVersions).toContain('1.1.0')
  const rules = await container.exec(['/usr/bin/nsenter', '--net=/proc/1/ns/net', '/usr/sbin/iptables-save', '-t', 'nat'])
  expect(rules.output).toMatch(/-A POSTROUTING -j ISTIO_POSTRT/)
  await images.docker.run(['stop', '--time', '20', container.getId()])
  expect(readdirSync(join(folder, 'bin'))).toEqual([])
  expect(JSON.parse(conflist())).toEqual(JSON.parse(primary))
  expect(readdirSync(join(folder, 'run')).filter((name) => name !== 'istio-cni.log')).toEqual([])
})

test('while its DaemonSet stands the agent leaves everything: pods that start meanwhile must wait for it', async () => {
  const labels = { app: 'cni' }
  const template = { metadata: { labels }, spec: { containers: [{ name: 'c', image: 'i' }] } }
  const metadata = { name: 'istio-cni-node', namespace: 'istio-system' }
  api.store.create(resources.daemonsets, { metadata, spec: { selector: { matchLabels: labels }, template } })
  const container = await agent()
  await images.docker.run(['stop', '--time', '20', container.getId()])
  expect(chained()).toEqual(['ptp', 'istio-cni'])
  expect(readdirSync(join(folder, 'bin'))).toEqual(['istio-cni'])
})
