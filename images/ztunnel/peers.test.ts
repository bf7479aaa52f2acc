import * as http2 from 'node:http2'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { type CaFiles, generateCa, issueLeaf, loadCa } from '../lib/ca.ts'
import { TunnelStream } from '../lib/h2/tunnel-stream.ts'
import { HboneClient, hboneDefaults } from '../lib/hbone.ts'
import { connectMtls, mtlsContext } from '../lib/mtls.ts'
import { Bed, echo, exchange, type Pod } from './testbed/network.ts'
import { Ztunnel } from './testbed/ztunnel.ts'

// Strangers that speak HBONE to ztunnel by themselves, broken namespaces, roll-outs: the server's side of a pod, seen from outside.
let bed: Bed
let server: Pod
let outside: Pod
let noSix: Pod
let own: Pod
let ca: CaFiles
let zt: Ztunnel
let served = 0
const open: { destroy(): void }[] = []

const state = (extra = '') => `
workloads:
  - { uid: server, name: server, namespace: demo, serviceAccount: server, workloadIps: [10.78.0.3], protocol: HBONE, services: { demo/web.demo.svc.cluster.local: { 80: 8080 } } }
  - { uid: nosix, name: nosix, namespace: demo, serviceAccount: nosix, workloadIps: [10.78.0.5], protocol: HBONE }
services:
  - { name: web, namespace: demo, hostname: web.demo.svc.cluster.local, vips: [/10.96.0.80], ports: { 80: 8080 } }
${extra}`

beforeAll(async () => {
  bed = new Bed()
  server = bed.pod('server', '10.78.0.3', true)
  outside = bed.pod('outside', '10.78.0.4', false)
  noSix = bed.pod('nosix', '10.78.0.5', true)
  own = bed.pod('own', '10.78.0.9', false)
  bed.run(noSix, 'sysctl -qw net.ipv6.conf.lo.disable_ipv6=1')
  ca = await generateCa()
  zt = new Ztunnel()
  await zt.start(state(), { bed, pod: own, ca })
  const agent = await zt.agent()
  expect(await agent.add(server, 'server')).toBeUndefined()
  expect(await agent.add(noSix, 'nosix')).toBeUndefined()
  expect(await agent.send({ snapshotSent: {} })).toBeUndefined()
  await bed.serve(server, 8080, (socket) => {
    served++
    echo(socket)
  })
}, 30_000)

afterEach((context) => {
  if (context.task.result?.state === 'fail') console.error(zt.lines.slice(-12).join('\n'))
  for (const what of open.splice(0)) what.destroy()
})

afterAll(async () => {
  await zt.close()
  bed.close()
})

/** A TLS connection to the server's 15008 from outside, as `serviceAccount` of a CA (the mesh's unless told otherwise). */
async function secured(options: { files?: CaFiles; trustDomain?: string; serviceAccount?: string } = {}) {
  const identity = {
    trustDomain: options.trustDomain ?? 'cluster.local',
    namespace: 'demo',
    serviceAccount: options.serviceAccount ?? 'stranger',
  }
  const leaf = await issueLeaf(loadCa(options.files ?? ca), identity, 600_000)
  const raw = bed.dial(outside, server.ip, 15008)
  raw.on('error', () => {})
  await new Promise((resolve) => raw.once('connect', resolve))
  return (
    await connectMtls(raw, mtlsContext({ ...leaf, rootPem: ca['root-cert.pem'] }), ['spiffe://cluster.local/ns/demo/sa/server'], 3000)
  ).socket
}

async function tunnel(authority: string, options?: Parameters<typeof secured>[0]) {
  const client = new HboneClient(await secured(options), hboneDefaults)
  open.push(client)
  const { tunnel, headers } = await client.connect(authority, {})
  return { client, stream: new TunnelStream(tunnel).on('error', () => {}), headers }
}

test('a workload of the mesh is let in, by address and by hostname; the answer carries the destination’s baggage', async () => {
  for (const authority of ['10.78.0.3:8080', 'web.demo.svc.cluster.local:80']) {
    const { stream, headers } = await tunnel(authority)
    expect(headers).toMatchObject({ ':status': '200', baggage: 'k8s.cluster.name=Kubernetes,k8s.namespace.name=demo' })
    stream.end('hi')
    let text = ''
    for await (const chunk of stream) text += chunk
    expect(text).toBe('10.78.0.4 hi')
  }
})

test.each([
  ['another CA', async () => ({ files: await generateCa() }), /error="tls error: client certificate refused: /],
  [
    'another trust domain',
    async () => ({ trustDomain: 'elsewhere.org' }),
    /error="identity error: spiffe:\/\/elsewhere\.org\/ns\/demo\/sa\/stranger is not of the trust domain cluster\.local"/,
  ],
])('an identity of %s gets no tunnel, and the application no connection', async (_name, options, line) => {
  const from = zt.lines.length
  const before = served
  await expect(tunnel('10.78.0.3:8080', await options())).rejects.toThrow()
  expect(await zt.line(/connection failed/, from)).toMatch(line)
  expect(served).toBe(before)
})

test.each([
  ['10.78.0.4:8080', '400 Bad Request', 'ip mismatch: 10.78.0.3 != 10.78.0.4'],
  ['127.0.0.1:8080', '400 Bad Request', 'ip mismatch: 10.78.0.3 != 127.0.0.1'],
  ['nonsense', '400 Bad Request', 'invalid CONNECT address'],
  ['10.78.0.3:15006', '503 Service Unavailable', 'attempted recursive call to ourselves'],
  ['nowhere.example:80', '503 Service Unavailable', 'unknown destination'],
])('CONNECT %s → %s', async (authority, status, error) => {
  const from = zt.lines.length
  await expect(tunnel(authority)).rejects.toThrow(`http status: ${status}`)
  expect(await zt.line(/\twarn\taccess\tconnection failed\t/, from)).toContain(error)
})

test('another method is a bad request', async () => {
  const from = zt.lines.length
  const socket = await secured()
  const session = http2.connect('https://x', { createConnection: () => socket })
  open.push(session)
  const answer = await new Promise<http2.IncomingHttpHeaders>((resolve) => session.request({ ':path': '/' }).once('response', resolve))
  expect(answer[':status']).toBe(400)
  expect(await zt.line(/connection failed/, from)).toContain('expected method CONNECT, got GET')
})

test('a mesh identity that writes nonsense instead of HTTP/2 only loses its own connection', async () => {
  const keep = await tunnel('10.78.0.3:8080')
  const from = zt.lines.length
  const socket = await secured()
  socket.on('error', () => {})
  socket.end('GET / HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(3))
  expect(await zt.line(/http2 connection failed/, from)).toContain('error="the client does not begin as HTTP/2 does"')
  keep.stream.end('on')
  let text = ''
  for await (const chunk of keep.stream) text += chunk
  expect(text).toBe('10.78.0.4 on')
})

test('a client that gives up its tunnel, or vanishes, frees the application’s connection', async () => {
  for (const leave of [
    (t: Awaited<ReturnType<typeof tunnel>>) => void t.stream.destroy(),
    (t: Awaited<ReturnType<typeof tunnel>>) => t.client.destroy(),
  ]) {
    const from = zt.lines.length
    const opened = await tunnel('10.78.0.3:8080')
    await new Promise((resolve) => opened.stream.once('data', resolve))
    leave(opened)
    await zt.line(/direction="inbound".*error="io error/, from)
    expect(bed.run(server, 'ss -Htn state established sport = 8080').trim()).toBe('')
  }
})

test('a pod whose lo has no IPv6 gets its listeners without [::1]', () => {
  const lines = bed
    .run(noSix, 'ss -Htuln sport = 15053')
    .split('\n')
    .filter((l) => l !== '')
  expect(lines.map((l) => l.split(/\s+/)[4])).toEqual(['127.0.0.1:15053', '127.0.0.1:15053'])
  expect(bed.run(noSix, 'ss -Htln sport = 15001')).toContain('*:15001')
})

test('a pod whose port is taken by somebody else is acknowledged with the error', async () => {
  const taken = bed.pod('taken', '10.78.0.6', true)
  await bed.serve(taken, 15006, echo)
  const agent = await zt.agent()
  expect(await agent.add(taken, 'taken')).toMatch(
    /^failed to start proxy for uid-taken: failed to bind to address \[::\]:15006: bind: errno 98/,
  )
  expect(bed.run(taken, 'ss -Htln sport = 15001')).toBe('')
  expect(await agent.send({ del: { uid: 'uid-taken' } })).toBeUndefined()
})

test('a pod whose record comes late is served when it comes', async () => {
  const late = bed.pod('late', '10.78.0.7', true)
  const agent = await zt.agent()
  expect(await agent.add(late, 'late')).toBeUndefined()
  await bed.serve(late, 8080, echo)
  const answer = exchange(bed.dial(outside, late.ip, 8080), 'early')
  const from = zt.lines.length
  zt.writeState(
    state().replace(
      'workloads:',
      'workloads:\n  - { uid: late, name: late, namespace: demo, serviceAccount: late, workloadIps: [10.78.0.7], protocol: HBONE }',
    ),
  )
  await zt.line(/local state read/, from)
  expect(await answer).toBe('10.78.0.4 early')
})

test('roll-out: the next ztunnel listens beside the old one, which drains; an open tunnel ends by itself; at the deadline the rest is ended', async () => {
  const next = new Ztunnel()
  try {
    await next.start(state(), {
      bed,
      pod: bed.pod('next', '10.78.0.10', false),
      ca,
      env: { CONNECTION_TERMINATION_DEADLINE: '300ms', ISTIO_META_DNS_CAPTURE: 'false' },
    })
    const agent = await next.agent()
    expect(await agent.add(server, 'server')).toBeUndefined()
    expect(await agent.send({ snapshotSent: {} })).toBeUndefined()
    expect(bed.run(server, 'ss -Htln sport = 15008').trim().split('\n')).toHaveLength(2)
    // Without DNS capture there is no DNS listener: these are the old one's, UDP and TCP on two loopback addresses.
    expect(bed.run(server, 'ss -Htuln sport = 15053').trim().split('\n')).toHaveLength(4)

    const stays = bed.dial(outside, server.ip, 8080)
    await new Promise((resolve) => stays.once('data', resolve))
    const crowd = Array.from({ length: 100 }, (_, i) => exchange(bed.dial(outside, server.ip, 8080), `crowd ${i}`))
    expect(bed.run(own, 'curl -s -X POST http://127.0.0.1:15000/quitquitquit')).toBe('shutdown now\n')
    expect(await Promise.all(crowd)).toEqual(crowd.map((_, i) => `10.78.0.4 crowd ${i}`))
    await zt.line(/app\tshutting down/)
    for (let i = 0; i < 20; i++) expect(await exchange(bed.dial(outside, server.ip, 8080), 'new')).toBe('10.78.0.4 new')
    expect(await exchange(stays, 'old')).toBe('old')
    expect(await zt.exited).toBe(0)
    expect([...zt.lines, ...next.lines].filter((l) => /unexpected/.test(l))).toEqual([])
    expect(zt.lines.at(-1)).toContain('shutdown completed')

    const stuck = bed.dial(outside, server.ip, 8080)
    await new Promise((resolve) => stuck.once('data', resolve))
    next.signal('SIGTERM')
    await new Promise((resolve) => stuck.once('end', resolve))
    expect(await next.line(/connection drain/)).toContain('error="connection closed due to connection drain"')
    expect(await next.exited).toBe(0)
  } finally {
    await next.close()
  }
}, 20_000)
