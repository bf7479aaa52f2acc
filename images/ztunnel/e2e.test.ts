import { createSocket } from 'node:dgram'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import dns from 'dns-packet'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { Bed, echo, exchange, type Pod } from './testbed/network.ts'
import { Ztunnel } from './testbed/ztunnel.ts'

const workload = (pod: Pod, protocol: string, extra = '') => `
  - uid: Kubernetes//Pod/demo/${pod.name}
    name: ${pod.name}
    namespace: demo
    serviceAccount: ${pod.name}
    workloadIps: [${pod.ip}]
    protocol: ${protocol}
    node: node-1
    workloadType: pod
    workloadName: ${pod.name}
    canonicalName: ${pod.name}
    canonicalRevision: latest
${extra}`

let bed: Bed
let zt: Ztunnel
let client: Pod
let server: Pod
let plain: Pod
let own: Pod

const httpbin = '    services: { demo/httpbin.demo.svc.cluster.local: { 80: 8080 } }\n'
function state(policies = ''): string {
  return `workloads:${workload(client, 'HBONE')}${workload(server, 'HBONE', httpbin)}${workload(plain, 'TCP')}
services:
  - name: httpbin
    namespace: demo
    hostname: httpbin.demo.svc.cluster.local
    vips: [/10.96.0.80]
    ports: { 80: 8080 }
  - name: heads
    namespace: demo
    hostname: heads.demo.svc.cluster.local
    vips: []
    ports: { 80: 8080 }
${policies}`
}

beforeAll(async () => {
  bed = new Bed()
  client = bed.pod('client', '10.77.0.2', true)
  server = bed.pod('server', '10.77.0.3', true)
  plain = bed.pod('plain', '10.77.0.4', false)
  own = bed.pod('zt', '10.77.0.9', false)
  zt = new Ztunnel()
  const resolvConf = join(zt.dir, 'resolv.conf')
  writeFileSync(resolvConf, `search istio-system.svc.cluster.local\nnameserver ${plain.ip}\n`)
  await zt.start(state(), { bed, pod: own, env: { RESOLV_CONF: resolvConf } })
  const agent = await zt.agent()
  expect(await agent.hello).toBe(1)
  expect(await agent.add(client, 'client')).toBeUndefined()
  expect(await agent.add(server, 'server')).toBeUndefined()
  expect(await agent.send({ snapshotSent: {} })).toBeUndefined()
  await bed.serve(server, 8080, echo)
  await bed.serve(plain, 8080, echo)
}, 30_000)

afterEach((context) => {
  if (context.task.result?.state === 'fail') console.error(zt.lines.slice(-12).join('\n'))
})

afterAll(async () => {
  await zt.close()
  bed.close()
})

/** Key=value fields of an access-log line, quotes taken off. */
function fields(line: string): Record<string, string> {
  return Object.fromEntries(
    [
      ...line
        .split('\t')
        .at(-1)!
        .matchAll(/([\w.]+)=(?:"((?:[^"\\]|\\.)*)"|(\S+))/g),
    ].map((m) => [m[1]!, m[2] ?? m[3]!]),
  )
}

async function listening(): Promise<string> {
  return bed.run(server, 'ss -Htlnep sport ge 15000; ss -Hulne sport ge 15000')
}

test('listeners are upstream’s: addresses, mark, queue', async () => {
  const lines = (await listening()).split('\n').filter((l) => l !== '')
  for (const local of ['*:15001', '*:15006', '*:15008', '127.0.0.1:15053', '[::1]:15053'])
    expect(
      lines.find((l) => l.includes(`LISTEN 0      128`) && l.includes(` ${local} `)),
      local,
    ).toMatch(/fwmark:0x539/)
  for (const local of ['127.0.0.1:15053', '[::1]:15053'])
    expect(
      lines.find((l) => l.startsWith('UNCONN') && l.includes(` ${local} `)),
      local,
    ).toMatch(/fwmark:0x539/)
  expect(lines).toHaveLength(7)
})

test('mesh to mesh goes through HBONE, keeps the source and is logged on both sides as upstream does', async () => {
  const from = zt.lines.length
  expect(await exchange(bed.dial(client, server.ip, 8080), 'hello')).toBe('10.77.0.2 hello')
  const outbound = await zt.line(/direction="outbound"/, from)
  expect(outbound).toMatch(
    /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z\tinfo\taccess\tconnection complete\tsrc\.addr=10\.77\.0\.2:\d+ src\.workload="client" src\.namespace="demo" src\.identity="spiffe:\/\/cluster\.local\/ns\/demo\/sa\/client" src\.cluster="Kubernetes" dst\.addr=10\.77\.0\.3:15008 dst\.hbone_addr=10\.77\.0\.3:8080 dst\.workload="server" dst\.namespace="demo" dst\.identity="spiffe:\/\/cluster\.local\/ns\/demo\/sa\/server" dst\.cluster="Kubernetes" direction="outbound" bytes_sent=5 bytes_recv=15 duration="\d+ms"$/,
  )
  expect(fields(await zt.line(/direction="inbound"/, from))).toMatchObject({
    'src.identity': 'spiffe://cluster.local/ns/demo/sa/client',
    'dst.addr': '10.77.0.3:15008',
    'dst.hbone_addr': '10.77.0.3:8080',
    'dst.service': 'httpbin.demo.svc.cluster.local',
    bytes_sent: '15',
    bytes_recv: '5',
  })
})

test('a service address leads to an endpoint on its target port', async () => {
  const from = zt.lines.length
  expect(await exchange(bed.dial(client, '10.96.0.80', 80), 'vip')).toBe('10.77.0.2 vip')
  expect(fields(await zt.line(/direction="outbound"/, from))).toMatchObject({
    'dst.addr': '10.77.0.3:15008',
    'dst.hbone_addr': '10.77.0.3:8080',
    'dst.service': 'httpbin.demo.svc.cluster.local',
  })
})

test('parallel connections share one HBONE connection', async () => {
  const sockets = Array.from({ length: 20 }, () => bed.dial(client, server.ip, 8080))
  await Promise.all(sockets.map((s) => new Promise((resolve) => s.once('data', resolve))))
  expect(bed.run(client, 'ss -Htn state established dport = 15008').trim().split('\n')).toHaveLength(1)
  await Promise.all(sockets.map((s) => exchange(s, 'x')))
})

test('each side can end first, and the other goes on', async () => {
  await bed.serve(server, 8081, (socket) => {
    socket.end('first')
    let got = ''
    socket.on('data', (chunk) => {
      got += chunk
    })
    socket.on('end', () => late.resolve(got))
  })
  const late = Promise.withResolvers<string>()
  const socket = bed.dial(client, server.ip, 8081)
  let got = ''
  socket.on('data', (chunk) => {
    got += chunk
  })
  await new Promise((resolve) => socket.once('end', resolve))
  expect(got).toBe('first')
  socket.end('after your end')
  expect(await late.promise).toBe('after your end')
})

test('8 MiB arrive whole both ways', async () => {
  const body = 'x'.repeat(8 << 20)
  expect(await exchange(bed.dial(client, server.ip, 8080), body)).toBe(`10.77.0.2 ${body}`)
}, 20_000)

test('plaintext from outside reaches the application with its source, logged without an identity', async () => {
  const from = zt.lines.length
  expect(await exchange(bed.dial(plain, server.ip, 8080), 'clear')).toBe('10.77.0.4 clear')
  const line = fields(await zt.line(/direction="inbound"/, from))
  expect(line).toMatchObject({ 'src.workload': 'plain', 'dst.addr': '10.77.0.3:8080', 'dst.service': 'httpbin.demo.svc.cluster.local' })
  expect(line).not.toHaveProperty('src.identity')
  expect(line).not.toHaveProperty('dst.hbone_addr')
})

test('a destination outside the mesh gets plain TCP from the pod’s own address; an unknown one too', async () => {
  const from = zt.lines.length
  expect(await exchange(bed.dial(client, plain.ip, 8080), 'out')).toBe('10.77.0.2 out')
  expect(fields(await zt.line(/direction="outbound"/, from))).toMatchObject({ 'dst.addr': '10.77.0.4:8080', 'dst.workload': 'plain' })
  await bed.serve(own, 8080, echo)
  const next = zt.lines.length
  expect(await exchange(bed.dial(client, own.ip, 8080), 'away')).toBe('10.77.0.2 away')
  expect(await zt.line(/direction="outbound"/, next)).not.toMatch(/dst\.workload/)
})

test('a closed port ends the connection, and both logs say why', async () => {
  const from = zt.lines.length
  await exchange(bed.dial(client, server.ip, 9999), 'x').catch(() => {})
  expect(fields(await zt.line(/direction="inbound"/, from)).error).toBe('connection failed: Connection refused (os error 111)')
  expect(fields(await zt.line(/direction="outbound"/, from)).error).toBe('http status: 503 Service Unavailable')
})

test.each([
  ['from outside to 15006', () => plain, () => server.ip, 15006],
  ['from outside to 15001', () => plain, () => server.ip, 15001],
  ['from the pod to its own 15001', () => server, () => server.ip, 15001],
  ['from the pod to its own 15006', () => server, () => server.ip, 15006],
  ['from the pod to loopback 15001', () => server, () => '127.0.0.1', 15001],
])('ztunnel does not call itself: %s', async (_name, pod, address, port) => {
  const from = zt.lines.length
  await exchange(bed.dial(pod(), address(), port), 'loop').catch(() => '')
  expect(await zt.line(/connection failed/, from)).toMatch(
    /\twarn\taccess\tconnection failed\t.*error="attempted recursive call to ourselves"/,
  )
})

test('a mesh client that asks for 15008 itself is refused by the server’s side', async () => {
  const from = zt.lines.length
  await exchange(bed.dial(client, server.ip, 15008), 'loop').catch(() => '')
  expect(await zt.line(/direction="inbound"/, from)).toContain('attempted recursive call to ourselves')
})

test('bytes that are no TLS on 15008 are refused with a line, and ztunnel goes on', async () => {
  const from = zt.lines.length
  await exchange(bed.dial(plain, server.ip, 15008), 'GET / HTTP/1.1\r\n\r\n').catch(() => '')
  expect(await zt.line(/connection failed/, from)).toContain('error="tls error:')
  expect(await exchange(bed.dial(client, server.ip, 8080), 'still')).toBe('10.77.0.2 still')
})

const policy = (action: string, match: string) => `policies:
  - { name: p, namespace: demo, scope: Namespace, action: ${action}, rules: [[[${match}]]] }
`

test('policy: a denied identity gets 401 and a closed connection; others pass; plaintext has no identity; a change closes what is open', async () => {
  const live = bed.dial(client, server.ip, 8080)
  await new Promise((resolve) => live.once('data', resolve))
  const from = zt.lines.length
  zt.writeState(state(policy('Deny', '{ principals: [{ Exact: cluster.local/ns/demo/sa/client }] }')))
  await zt.line(/local state read/, from)
  expect(await zt.line(/connection closed due to policy change/, from)).toMatch(/direction="inbound"/)
  await new Promise((resolve) =>
    live
      .once('close', resolve)
      .on('error', () => {})
      .resume()
      .end(),
  )
  const next = zt.lines.length
  expect(await exchange(bed.dial(client, server.ip, 8080), 'x').catch(() => '')).toBe('')
  expect(await zt.line(/direction="outbound".*error="http/, next)).toContain('"http status: 401 Unauthorized"')
  expect(await zt.line(/direction="outbound".*error="io/, from)).toContain('"io error: stream reset by the peer"')
  expect(await zt.line(/direction="inbound".*rejection/, next)).toMatch(
    /\terror\taccess\tconnection complete\t.*error="connection closed due to policy rejection: explicitly denied by: demo\/p"$/,
  )
  expect(await exchange(bed.dial(plain, server.ip, 8080), 'clear')).toBe('10.77.0.4 clear')

  const strict = zt.lines.length
  zt.writeState(state(policy('Deny', '{ notPrincipals: [Presence] }')))
  await zt.line(/local state read/, strict)
  expect(await exchange(bed.dial(plain, server.ip, 8080), 'x').catch(() => '')).toBe('')
  expect(await exchange(bed.dial(client, server.ip, 8080), 'mtls')).toBe('10.77.0.2 mtls')

  const bad = zt.lines.length
  zt.writeState(state('polices: []\n'))
  expect(await zt.line(/local state not usable/, bad)).toContain('top level: unknown field \\"polices\\"')
  expect(await exchange(bed.dial(plain, server.ip, 8080), 'x').catch(() => '')).toBe('')
  const good = zt.lines.length
  zt.writeState(state())
  await zt.line(/local state read/, good)
})

test('DNS: a service name is answered from the mesh, short names too; another is asked of the name server with the pod’s source and the mark', async () => {
  const seen: string[] = []
  const upstream = createSocket('udp4')
  upstream.on('message', (question, from) => {
    seen.push(from.address)
    const { id, questions } = dns.decode(question)
    upstream.send(
      dns.encode({
        type: 'response',
        id: id!,
        questions: questions!,
        answers: [{ type: 'A', name: questions![0]!.name, ttl: 5, data: '192.0.2.1' }],
      }),
      from.port,
      from.address,
    )
  })
  await new Promise<void>((resolve) => upstream.bind({ fd: bed.udp(plain, 53) }, resolve))
  const app = createSocket('udp4')
  await new Promise<void>((resolve) => app.bind({ fd: bed.udp(client) }, resolve))
  const ask = (name: string, type: 'A' | 'AAAA' = 'A') =>
    new Promise<dns.DecodedPacket>((resolve) => {
      app.once('message', (answer, from) => {
        expect(from.address).toBe(plain.ip)
        resolve(dns.decode(answer))
      })
      app.send(dns.encode({ type: 'query', id: 7, flags: dns.RECURSION_DESIRED, questions: [{ type, name }] }), 53, plain.ip)
    })
  expect((await ask('httpbin.demo.svc.cluster.local')).answers).toMatchObject([{ type: 'A', data: '10.96.0.80', ttl: 30 }])
  expect((await ask('httpbin')).answers).toMatchObject([{ data: '10.96.0.80' }])
  expect((await ask('httpbin.demo.svc.cluster.local', 'AAAA')).answers).toEqual([])
  expect(seen).toEqual([])
  expect((await ask('example.org')).answers).toMatchObject([{ name: 'example.org', data: '192.0.2.1', ttl: 5 }])
  expect(seen).toEqual([client.ip])
  app.close()
  upstream.close()
})

test('admin, metrics and readiness', async () => {
  const get = (url: string) => bed.run(own, `curl -s -w '%{http_code}' ${url}`)
  expect(get('http://127.0.0.1:15021/healthz/ready')).toBe('ready\n200')
  expect(get('http://127.0.0.1:15020/metrics')).toContain('workload_manager_active_proxy_count 2\n')
  const dump = JSON.parse(get('http://127.0.0.1:15000/config_dump').slice(0, -3)) as Record<string, never>
  expect(Object.keys(dump).sort()).toEqual([
    'certificates',
    'config',
    'policies',
    'services',
    'stagedServices',
    'staticConfig',
    'version',
    'workloadState',
    'workloads',
  ])
  expect(dump.workloadState).toEqual({
    'uid-client': {
      state: 'Up',
      connections: { inbound: [], outbound: [] },
      info: { name: 'client', namespace: 'demo', serviceAccount: 'client' },
    },
    'uid-server': {
      state: 'Up',
      connections: { inbound: [], outbound: [] },
      info: { name: 'server', namespace: 'demo', serviceAccount: 'server' },
    },
  })
  expect(dump.certificates).toMatchObject([
    { identity: 'spiffe://cluster.local/ns/demo/sa/client', state: 'Available' },
    { identity: 'spiffe://cluster.local/ns/demo/sa/server' },
  ])
})

test('a deleted pod loses its listeners at once; nothing unexpected was logged; SIGTERM lets an open connection end and then exits 0', async () => {
  const agent = await zt.agent()
  const open = bed.dial(client, plain.ip, 8080)
  await new Promise((resolve) => open.once('data', resolve))
  expect(await agent.send({ del: { uid: 'uid-server' } })).toBeUndefined()
  await zt.line(/\tinfo\tinpod::statemanager\tpod delete request, shutting down proxy\tuid="uid-server"$/)
  expect(await listening()).toBe('')
  zt.signal('SIGTERM')
  await zt.line(/app\tshutting down/)
  await expect(exchange(bed.dial(client, plain.ip, 8080), 'new')).rejects.toThrow(/ECONNREFUSED/)
  expect(await exchange(open, 'old')).toBe('old')
  expect(await zt.exited).toBe(0)
  expect(zt.lines.filter((l) => /unexpected/.test(l))).toEqual([])
})
