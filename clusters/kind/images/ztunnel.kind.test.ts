import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Wait } from 'testcontainers'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type CaFiles, generateCa } from '../../../images/lib/ca.ts'
import { AgentStream } from './testing/agent-stream.ts'
import { type App, startApp } from './testing/app.ts'
import { DockerImages } from './testing/docker-images.ts'

let images: DockerImages
let ca: CaFiles
const agents: AgentStream[] = []
beforeAll(async () => {
  images = await DockerImages.load()
  ca = await generateCa()
})
afterAll(async () => {
  await Promise.all(agents.map((agent) => agent.close()))
  await images?.[Symbol.asyncDispose]()
})

/** The rights that the DaemonSet gives. */
const capabilities = ['NET_ADMIN', 'SYS_ADMIN']

/** The proxy of a node, without a network of its own, with an agent that knows one pod. @param state workloads, as local YAML */
async function ztunnel(state: string, pod: string, app: App) {
  const folder = images.folder('ztunnel')
  for (const name of ['ca', 'run']) mkdirSync(join(folder, name))
  for (const [name, pem] of Object.entries(ca)) writeFileSync(join(folder, 'ca', name), pem)
  writeFileSync(join(folder, 'local.yaml'), state)
  const agent = new AgentStream(join(folder, 'run/ztunnel.sock'))
  agents.push(agent)
  const lines: string[] = []
  const container = await images
    .container('ztunnel', capabilities)
    .withNetworkMode('none')
    .withBindMounts([
      { source: folder, target: '/etc/ztunnel', mode: 'ro' },
      { source: join(folder, 'run'), target: '/var/run/ztunnel' },
    ])
    // Without the rule that brings answers to a pod's own address back to the proxy it does not borrow that address.
    .withEnvironment({
      LOCAL_XDS_PATH: '/etc/ztunnel/local.yaml',
      LOCAL_CA_DIR: '/etc/ztunnel/ca',
      NODE_NAME: pod,
      ENABLE_ORIG_SRC: 'false',
    })
    .withLogConsumer((stream) => stream.on('data', (line) => lines.push(String(line))))
    .withWaitStrategy(Wait.forLogMessage(/ztunnel started/))
    .start()
  const ready = async () => (await fetch(`http://127.0.0.1:${relay}/healthz/ready`)).status
  const relay = await images.relay(container, 15021)
  expect(await agent.hello()).toBe(1)
  expect(await ready()).toBe(500)
  const workloadInfo = { name: pod, namespace: 'demo', serviceAccount: pod }
  expect(await agent.send({ add: { uid: `uid-${pod}`, workloadInfo } }, await images.netns(app.container))).toBeUndefined()
  expect(await agent.send({ snapshotSent: {} })).toBeUndefined()
  await expect.poll(ready, { timeout: 20_000 }).toBe(200)
  return { container, lines }
}

test('two proxies get ready and carry a request between two containers over HBONE, with identities of both', async () => {
  const [sleep, httpbin] = await Promise.all([startApp(images, 'sleep'), startApp(images, 'httpbin')])
  const workload = (name: string, { address }: App) =>
    `  - { uid: ${name}, name: ${name}, namespace: demo, serviceAccount: ${name}, workloadIps: [${address}], protocol: HBONE, node: ${name} }\n`
  const state = `workloads:\n${workload('sleep', sleep)}${workload('httpbin', httpbin)}`
  const [client, server] = await Promise.all([ztunnel(state, 'sleep', sleep), ztunnel(state, 'httpbin', httpbin)])
  // What an agent would do, with what the agent's image has: connections of the client's pod go to its proxy, but not the proxy's own.
  await images
    .container('cni', ['NET_ADMIN', 'NET_RAW'])
    .withEntrypoint(['/usr/sbin/iptables'])
    .withCommand('-t nat -A OUTPUT -p tcp --dport 8080 -m mark ! --mark 0x539/0xfff -j REDIRECT --to-ports 15001'.split(' '))
    .withNetworkMode(`container:${sleep.container.getId()}`)
    .withWaitStrategy(Wait.forOneShotStartup())
    .start()
  const result = await sleep.ask({ protocol: 'http', host: httpbin.address, port: 8080, body: 'through the mesh' })
  expect(result).toMatchObject({ ok: true, status: 200 })
  expect(JSON.parse(result.body as string)).toMatchObject({ body: 'through the mesh' })
  const identity = (name: string) => `spiffe://cluster.local/ns/demo/sa/${name}`
  const logged = (lines: readonly string[], direction: string) =>
    expect.poll(
      () =>
        lines
          .join('')
          .split('\n')
          .find((line) => line.includes(`direction="${direction}"`)),
      { timeout: 10_000 },
    )
  await logged(client.lines, 'outbound').toMatch(new RegExp(`${httpbin.address}:15008.*${identity('httpbin')}`))
  await logged(server.lines, 'inbound').toMatch(new RegExp(`src.identity="${identity('sleep')}"`))
})
