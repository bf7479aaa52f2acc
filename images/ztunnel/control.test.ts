import { createSocket } from 'node:dgram'
import dns from 'dns-packet'
import { expect, test, vi } from 'vitest'
import { FrameReader, frame } from './dns/forward.ts'
import { exchange } from './testbed/network.ts'
import { parseOpenMetrics } from './testbed/openmetrics.ts'
import { fields, state, world } from './testbed/world.ts'

// What steers ztunnel and what it tells: policy, DNS, admin ports, the agent, signals. Tests build on each other in order: the last ones take the world apart.
const w = world()

const policy = (action: string, match: string) => `policies:
  - { name: p, namespace: demo, scope: Namespace, action: ${action}, rules: [[[${match}]]] }
`

test('policy: a denied identity gets 401 and a closed connection; others pass; plaintext has no identity; a change closes what is open', async () => {
  const live = w.bed.dial(w.client, w.server.ip, 8080)
  await new Promise((resolve) => live.once('data', resolve))
  const from = w.zt.lines.length
  w.zt.writeState(state(policy('Deny', '{ principals: [{ Exact: cluster.local/ns/demo/sa/client }] }')))
  await w.zt.line(/local state read/, from)
  expect(await w.zt.line(/connection closed due to policy change/, from)).toMatch(/direction="inbound"/)
  await new Promise((resolve) =>
    live
      .once('close', resolve)
      .on('error', () => {})
      .resume()
      .end(),
  )
  const denied = await w.call(w.client, w.server.ip, 8080, 'x')
  expect(denied.answer).toBe('')
  expect(fields(denied.line).error).toBe('http status: 401 Unauthorized')
  expect(await w.zt.line(/direction="outbound".*error="io/, from)).toContain('"io error: stream reset by the peer"')
  expect(await w.zt.line(/direction="inbound".*rejection/, from)).toMatch(
    /\terror\taccess\tconnection complete\t.*error="connection closed due to policy rejection: explicitly denied by: demo\/p"$/,
  )
  expect(await exchange(w.bed.dial(w.plain, w.server.ip, 8080), 'clear')).toBe('10.77.0.4 clear')

  const strict = w.zt.lines.length
  w.zt.writeState(state(policy('Deny', '{ notPrincipals: [Presence] }')))
  await w.zt.line(/local state read/, strict)
  expect(await exchange(w.bed.dial(w.plain, w.server.ip, 8080), 'x').catch(() => '')).toBe('')
  expect(await exchange(w.bed.dial(w.client, w.server.ip, 8080), 'mtls')).toBe('10.77.0.2 mtls')

  const bad = w.zt.lines.length
  w.zt.writeState(state('polices: []\n'))
  expect(await w.zt.line(/local state not usable/, bad)).toContain('top level: unknown field \\"polices\\"')
  expect(await exchange(w.bed.dial(w.plain, w.server.ip, 8080), 'x').catch(() => '')).toBe('')
  const good = w.zt.lines.length
  w.zt.writeState(state())
  await w.zt.line(/local state read/, good)
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
  await new Promise<void>((resolve) => upstream.bind({ fd: w.bed.udp(w.plain, 53) }, resolve))
  const app = createSocket('udp4')
  await new Promise<void>((resolve) => app.bind({ fd: w.bed.udp(w.client) }, resolve))
  const ask = (name: string, type: 'A' | 'AAAA' = 'A') =>
    new Promise<dns.DecodedPacket>((resolve) => {
      app.once('message', (answer, from) => {
        expect(from.address).toBe(w.plain.ip)
        resolve(dns.decode(answer))
      })
      app.send(dns.encode({ type: 'query', id: 7, flags: dns.RECURSION_DESIRED, questions: [{ type, name }] }), 53, w.plain.ip)
    })
  expect((await ask('httpbin.demo.svc.cluster.local')).answers).toMatchObject([{ type: 'A', data: '10.96.0.80', ttl: 30 }])
  expect((await ask('httpbin')).answers).toMatchObject([{ data: '10.96.0.80' }])
  expect((await ask('httpbin.demo.svc.cluster.local', 'AAAA')).answers).toEqual([])
  expect(seen).toEqual([])
  expect((await ask('example.org')).answers).toMatchObject([{ name: 'example.org', data: '192.0.2.1', ttl: 5 }])
  expect(seen).toEqual([w.client.ip])
  await w.zt.line(/domain="example.org."/)
  const told = w.zt.lines.map((line) => line.split('\t').slice(1)).filter(([, scope]) => scope === 'dns')
  const asked = (query: string, domain: string, result: string, endpoints: number) => [
    ...[
      'debug',
      'dns',
      `src.workload="client" src.namespace="demo" query="${query}" domain="${domain}" result="${result}" endpoints=${endpoints}`,
    ],
  ]
  expect(told).toEqual([
    asked('A', 'httpbin.demo.svc.cluster.local.', 'success', 1),
    asked('A', 'httpbin.', 'success', 1),
    asked('AAAA', 'httpbin.demo.svc.cluster.local.', 'no records', 0),
    asked('A', 'example.org.', 'forwarded', 1),
  ])
  app.close()
  upstream.close()
})

test('DNS over TCP: two questions on one connection, one known, one forwarded; nonsense on UDP or TCP hurts nobody', async () => {
  await w.bed.serve(w.plain, 53, (socket) => {
    const reader = new FrameReader((question) => {
      const { id, questions } = dns.decode(question)
      socket.write(
        frame(dns.encode({ type: 'response', id: id!, questions: questions!, answers: [{ type: 'TXT', name: 'x', data: 'far' }] })),
      )
    })
    socket.on('data', (chunk) => reader.push(chunk))
    socket.on('end', () => socket.end())
  })
  const noise = createSocket('udp4')
  await new Promise<void>((resolve) => noise.bind({ fd: w.bed.udp(w.client) }, resolve))
  for (const bytes of [Buffer.alloc(0), Buffer.alloc(3), Buffer.alloc(12, 0xff), Buffer.alloc(40, 0xc0)])
    await new Promise((resolve) => noise.send(bytes, 53, w.plain.ip, resolve))
  noise.close()
  await exchange(w.bed.dial(w.client, w.plain.ip, 53), '\0\u0004abcd').catch(() => '')

  const answers: dns.DecodedPacket[] = []
  const socket = w.bed.dial(w.client, w.plain.ip, 53)
  const both = Promise.withResolvers<void>()
  const reader = new FrameReader((message) => answers.push(dns.decode(message)) === 2 && both.resolve())
  socket.on('data', (chunk) => reader.push(chunk))
  const ask = (id: number, type: 'A' | 'TXT', name: string) => frame(dns.encode({ type: 'query', id, questions: [{ type, name }] }))
  socket.write(Buffer.concat([ask(1, 'A', 'httpbin.demo'), ask(2, 'TXT', 'example.org')]))
  await both.promise
  expect(answers.sort((a, b) => a.id! - b.id!).map((a) => [a.id, a.answers?.map((x) => 'data' in x && String(x.data))])).toEqual([
    [1, ['10.96.0.80']],
    [2, ['far']],
  ])
})

test('admin, metrics and readiness', async () => {
  const get = (url: string) => w.bed.run(w.own, `curl -s -w '%{http_code}' ${url}`)
  expect(get('http://127.0.0.1:15021/healthz/ready')).toBe('ready\n200')
  await w.call(w.client, '10.96.0.80', 80, 'counted')
  const text = get('http://127.0.0.1:15020/metrics').slice(0, -3)
  expect(get('http://127.0.0.1:15020/stats/prometheus').slice(0, -3)).toBe(text)
  const samples = parseOpenMetrics(text)
  const value = (name: string, labels: Record<string, string>) =>
    samples
      .filter((s) => s.name === name && Object.entries(labels).every(([k, v]) => s.labels[k] === v))
      .reduce((sum, s) => sum + s.value, 0)
  expect(value('workload_manager_active_proxy_count', {})).toBe(2)
  const mesh = { connection_security_policy: 'mutual_tls', source_workload: 'client', destination_workload: 'server', response_flags: '-' }
  for (const reporter of ['source', 'destination']) {
    const asked = {
      ...mesh,
      reporter,
      destination_service: 'httpbin.demo.svc.cluster.local',
      source_principal: 'spiffe://cluster.local/ns/demo/sa/client',
    }
    expect(value('istio_tcp_connections_opened_total', asked)).toBeGreaterThan(0)
    expect(value('istio_tcp_sockets_open', asked)).toBe(0)
  }
  const vip = { ...mesh, reporter: 'source', destination_service: 'httpbin.demo.svc.cluster.local' }
  expect([value('istio_tcp_received_bytes_total', vip), value('istio_tcp_sent_bytes_total', vip)]).toEqual([7, 17])
  expect(value('istio_tcp_connections_closed_total', { reporter: 'destination', response_flags: 'DENY' })).toBeGreaterThan(0)
  expect(value('istio_tcp_connections_failed_total', { reporter: 'source', response_flags: 'CONNECT' })).toBeGreaterThan(0)
  expect(
    value('istio_dns_requests_total', { request_query_type: 'aaaa', request_protocol: 'udp', source_canonical_service: 'client' }),
  ).toBe(1)
  expect(value('istio_dns_upstream_requests_total', { request_protocol: 'tcp' })).toBe(1)
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
  const agent = await w.zt.agent()
  const open = w.bed.dial(w.client, w.plain.ip, 8080)
  await new Promise((resolve) => open.once('data', resolve))
  expect(await agent.send({ del: { uid: 'uid-server' } })).toBeUndefined()
  await w.zt.line(/\tinfo\tinpod::statemanager\tpod delete request, shutting down proxy\tuid="uid-server"$/)
  expect(w.listening()).toBe('')
  w.zt.signal('SIGTERM')
  await w.zt.line(/app\tshutting down/)
  await vi.waitFor(() => expect(w.bed.run(w.client, 'ss -Htln sport = 15001')).toBe(''), 10_000)
  await expect(exchange(w.bed.dial(w.client, w.plain.ip, 8080), 'new')).rejects.toThrow(/ECONNREFUSED/)
  expect(await exchange(open, 'old')).toBe('old')
  expect(await w.zt.exited).toBe(0)
  expect(w.zt.lines.filter((l) => /unexpected/.test(l))).toEqual([])
})
