import { once } from 'node:events'
import { createServer, Socket } from 'node:net'
import { execa } from 'execa'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { IptablesRedirection } from '../cni/redirect/iptables/node.ts'
import { memoryLog, type TestNamespace } from '../cni/testing/namespace.ts'
import { type NodeNetwork, nodeNetwork } from '../cni/testing/node-network.ts'
import { generateCa } from '../lib/ca.ts'
import { AF_INET, SOCK_STREAM } from '../lib/libc.ts'
import { socketInNetns } from '../lib/netns.ts'
import { echo, exchange } from './testbed/network.ts'
import { fields } from './testbed/world.ts'
import { Ztunnel } from './testbed/ztunnel.ts'

// Two nodes in mode iptables: pods with nothing in them, node rules and tunnels by the agent's own code, one real ztunnel each.
const workload = (name: string, node: number, last: number, protocol = 'HBONE', more = '') => `
  - { uid: ${name}, name: ${name}, namespace: demo, serviceAccount: ${name}, workloadIps: [10.244.${node}.${last}], protocol: ${protocol}, node: node-${node}${more} }`
const service = ', services: { demo/httpbin.demo.svc.cluster.local: { 80: 8080 } }'
const state = (
  policies = '',
) => `workloads:${workload('sleep', 1, 10)}${workload('near', 1, 11)}${workload('plain', 1, 20, 'TCP')}${workload('httpbin', 2, 11, 'HBONE', service)}
services:
  - { name: httpbin, namespace: demo, hostname: httpbin.demo.svc.cluster.local, vips: [/10.96.0.80], ports: { 80: 8080 } }
${policies}`

interface Node {
  readonly net: NodeNetwork
  readonly mode: IptablesRedirection
  readonly zt: Ztunnel
  readonly pods: Record<string, TestNamespace>
}
let a: Node
let b: Node
const open = new Set<{ close?(): unknown; destroy?(): unknown }>()

async function node(
  number: number,
  pods: Record<string, number>,
  neighbour: NodeNetwork | undefined,
  ca: Awaited<ReturnType<typeof generateCa>>,
) {
  const net = await nodeNetwork(number, neighbour)
  const own = await net.addPod('ztunnel', 2)
  const zt = new Ztunnel()
  const env = { MESH_RELEASE: '1.20', NODE_NAME: `node-${number}`, ISTIO_META_DNS_CAPTURE: 'false' }
  await zt.start(state(), { netnsOf: own.pid, env, ca })
  await zt.line(/ztunnel started/)
  const mode = new IptablesRedirection({
    host: net.node.fd,
    dnsCapture: false,
    ipv6: false,
    hostAddress: async () => `10.244.${number}.1`,
    log: memoryLog(),
  })
  await mode.setupHost()
  await mode.activate({
    uid: 'zt',
    namespace: 'istio-system',
    name: 'ztunnel',
    address: `10.244.${number}.2`,
    netns: own.fd,
    dnsCapture: false,
  })
  const made: Record<string, TestNamespace> = {}
  for (const [name, last] of Object.entries(pods)) {
    made[name] = await net.addPod(name, last)
    if (name !== 'plain')
      await mode.addPod({
        uid: name,
        namespace: 'demo',
        name,
        netns: made[name].fd,
        ips: [`10.244.${number}.${last}`],
        labels: {},
        annotations: {},
      })
  }
  return { net, mode, zt, pods: made }
}

async function serve(pod: TestNamespace): Promise<void> {
  const fd = socketInNetns(pod.fd, AF_INET, SOCK_STREAM, { bind: { address: '0.0.0.0', port: 8080 } })
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => {})
    open.add(socket)
    echo(socket)
  })
  open.add(server)
  server.listen({ fd })
  await once(server, 'listening')
}

function dial(pod: TestNamespace, address: string, port: number): Socket {
  const socket = new Socket({ fd: socketInNetns(pod.fd, AF_INET, SOCK_STREAM), allowHalfOpen: true })
  open.add(socket)
  return socket.connect({ host: address, port })
}

beforeAll(async () => {
  const ca = await generateCa()
  a = await node(1, { sleep: 10, near: 11, plain: 20 }, undefined, ca)
  b = await node(2, { httpbin: 11 }, a.net, ca)
  await Promise.all([a.pods.near!, a.pods.plain!, b.pods.httpbin!].map(serve))
}, 60_000)
afterAll(async () => {
  for (const what of open) (what.destroy ?? what.close)?.call(what)
  await Promise.all(
    [a, b].map(async ({ zt, net }) => {
      await zt.close()
      await net[Symbol.asyncDispose]()
    }),
  )
})
afterEach((context) => {
  if (context.task.result?.state === 'fail') console.error([...a.zt.lines.slice(-12), ...b.zt.lines.slice(-12)].join('\n'))
})

interface Dump {
  readonly workloads: Readonly<Record<string, object>>
  readonly workload_to_vip: object
  readonly vips: object
  readonly certificates: readonly { readonly identity: string }[]
}

/** Of node 1's ztunnel, whose admin port only its own namespace reaches. */
async function ownDump(): Promise<string> {
  const { stdout } = await execa('nsenter', [`--net=/proc/${a.zt.pid}/ns/net`, 'curl', '-s', 'http://127.0.0.1:15000/config_dump'])
  return stdout
}

const lastField = async (zt: Ztunnel, pattern: RegExp, from: number) => fields(await zt.line(pattern, from))

describe('mode iptables, on real connections', () => {
  test('pod to service on another node: HBONE between the pods’ addresses, the server sees the client, and one SYN a connection is in a tunnel', async () => {
    const from = [a.zt.lines.length, b.zt.lines.length] as const
    const packets = async (net: NodeNetwork, device: string) =>
      Number(/TX:.*\n\s*\d+\s+(\d+)/.exec(await net.node.run('ip', '-s', 'link', 'show', 'dev', device))?.[1])
    const before = [await packets(a.net, 'istioout'), await packets(b.net, 'istioin')]
    expect(await exchange(dial(a.pods.sleep!, '10.96.0.80', 80), 'hello '.repeat(2000))).toBe(`10.244.1.10 ${'hello '.repeat(2000)}`)
    const tunnel = {
      'src.identity': 'spiffe://cluster.local/ns/demo/sa/sleep',
      'dst.identity': 'spiffe://cluster.local/ns/demo/sa/httpbin',
    }
    expect(await lastField(a.zt, /direction="outbound"/, from[0])).toMatchObject({ ...tunnel, 'dst.addr': '10.244.2.11:15008' })
    expect(await lastField(b.zt, /direction="inbound"/, from[1])).toMatchObject({ ...tunnel, 'dst.hbone_addr': '10.244.2.11:8080' })
    const grown = [(await packets(a.net, 'istioout')) - before[0]!, (await packets(b.net, 'istioin')) - before[1]!]
    // The SYN, and what finding the other end may take (ARP); data of 12 kB would be more.
    for (const count of grown) expect(count).toBeGreaterThan(0)
    for (const count of grown) expect(count).toBeLessThan(6)
    expect(await a.net.node.run('conntrack', '-L', '-p', 'tcp')).toMatch(/src=10\.244\.1\.10 dst=10\.244\.2\.11 .*dport=15008.*mark=528/)
  })

  test('pod to pod on its own node: no tunnel, in the clear past both, with both identities', async () => {
    const from = a.zt.lines.length
    expect(await exchange(dial(a.pods.sleep!, '10.244.1.11', 8080), 'near')).toBe('10.244.1.10 near')
    const line = await lastField(a.zt, /direction="outbound"/, from)
    expect(line).toMatchObject({ 'dst.addr': '10.244.1.11:8080', 'src.identity': 'spiffe://cluster.local/ns/demo/sa/sleep' })
    expect(line).not.toHaveProperty('dst.hbone_addr')
  })

  test('from outside the mesh: plaintext through the server’s ztunnel, its source kept', async () => {
    const from = b.zt.lines.length
    expect(await exchange(dial(a.pods.plain!, '10.244.2.11', 8080), 'clear')).toBe('10.244.1.20 clear')
    const line = await lastField(b.zt, /direction="inbound"/, from)
    expect(line).toMatchObject({ 'src.workload': 'plain', 'dst.addr': '10.244.2.11:8080' })
    expect(line).not.toHaveProperty('src.identity')
  })

  test('to a server outside the mesh: plain, from the client’s own address', async () => {
    const from = a.zt.lines.length
    expect(await exchange(dial(a.pods.sleep!, '10.244.1.20', 8080), 'out')).toBe('10.244.1.10 out')
    expect(await lastField(a.zt, /direction="outbound"/, from)).toMatchObject({ 'dst.addr': '10.244.1.20:8080' })
  })

  test('the node’s own probe goes past ztunnel', async () => {
    const from = b.zt.lines.length
    const answer = await exchange(dial(b.net.node, '10.244.2.11', 8080), 'probe')
    expect(answer).toBe('10.244.2.1 probe')
    expect(b.zt.lines.slice(from)).toEqual([])
  })

  test('a call to ztunnel itself is refused', async () => {
    const from = a.zt.lines.length
    expect(await exchange(dial(a.pods.sleep!, '10.244.1.2', 15001), 'loop').catch(() => '')).toBe('')
    await a.zt.line(/error="attempted recursive call to ourselves"/, from)
  })

  test('a call to another pod’s port that is one of ztunnel’s goes to that pod’s ztunnel, which does not call itself', async () => {
    const from = b.zt.lines.length
    expect(await exchange(dial(a.pods.sleep!, '10.244.2.11', 15001), 'there').catch(() => '')).toBe('')
    expect(await lastField(b.zt, /error="attempted recursive call to ourselves"/, from)).toMatchObject({
      'dst.addr': '10.244.2.11:15008',
      direction: 'inbound',
    })
  })

  test('the destination’s policy holds without a tunnel too, and cuts what it had let through', async () => {
    const live = dial(a.pods.sleep!, '10.244.1.11', 8080)
    live.on('error', () => {})
    await once(live, 'data')
    const closed = Promise.race([once(live, 'end'), once(live, 'close')])
    live.resume()
    a.zt.writeState(
      state(`policies:
  - { name: deny, namespace: demo, scope: Namespace, action: Deny, rules: [[[{ principals: [{ Exact: cluster.local/ns/demo/sa/sleep }] }]]] }`),
    )
    await closed
    const from = a.zt.lines.length
    expect(await exchange(dial(a.pods.sleep!, '10.244.1.11', 8080), 'no').catch(() => '')).toBe('')
    await a.zt.line(/error="connection closed due to policy rejection/, from)
    a.zt.writeState(state())
  })

  test('its dump has the form of 2023: workloads and services by address', async () => {
    const dump = JSON.parse(await ownDump()) as Dump
    expect(Object.keys(dump)).toEqual([
      'workloads',
      'workload_to_vip',
      'vips',
      'policies',
      'policies_by_namespace',
      'static_config',
      'version',
      'config',
      'certificates',
    ])
    expect(dump.workloads['10.244.1.10']).toMatchObject({
      workloadIp: '10.244.1.10',
      name: 'sleep',
      nativeHbone: false,
      waypointAddresses: [],
    })
    expect(dump.workload_to_vip).toEqual({ '10.244.2.11': ['10.96.0.80'] })
    expect(dump.vips).toEqual({ '10.96.0.80': { '10.244.2.11': { 80: 8080 } } })
    // Of the node's own pods, before any connection of theirs.
    expect(dump.certificates.map((c) => c.identity).sort()).toEqual(
      ['near', 'sleep'].map((name) => `spiffe://cluster.local/ns/demo/sa/${name}`),
    )
  })

  test('an established connection lives on without its pod being captured any more', async () => {
    const live = dial(a.pods.sleep!, '10.96.0.80', 80)
    await once(live, 'data')
    await a.mode.stopCapture({
      uid: 'sleep',
      namespace: 'demo',
      name: 'sleep',
      netns: a.pods.sleep!.fd,
      ips: ['10.244.1.10'],
      labels: {},
      annotations: {},
    })
    live.write('still')
    expect(String((await once(live, 'data'))[0])).toBe('still')
    live.destroy()
  })
})
