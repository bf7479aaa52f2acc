import { expect, test } from 'vitest'
import { echo, exchange } from './testbed/network.ts'
import { fields, world } from './testbed/world.ts'

// Connections through the real ztunnel process, in real namespaces with the real rules.
const w = world()

test('listeners are upstream’s: addresses, mark, queue', async () => {
  const lines = w
    .listening()
    .split('\n')
    .filter((l) => l !== '')
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
  const from = w.zt.lines.length
  expect(await exchange(w.bed.dial(w.client, w.server.ip, 8080), 'hello')).toBe('10.77.0.2 hello')
  const outbound = await w.zt.line(/direction="outbound"/, from)
  expect(outbound).toMatch(
    /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z\tinfo\taccess\tconnection complete\tsrc\.addr=10\.77\.0\.2:\d+ src\.workload="client" src\.namespace="demo" src\.identity="spiffe:\/\/cluster\.local\/ns\/demo\/sa\/client" src\.cluster="Kubernetes" dst\.addr=10\.77\.0\.3:15008 dst\.hbone_addr=10\.77\.0\.3:8080 dst\.workload="server" dst\.namespace="demo" dst\.identity="spiffe:\/\/cluster\.local\/ns\/demo\/sa\/server" dst\.cluster="Kubernetes" direction="outbound" bytes_sent=5 bytes_recv=15 duration="\d+ms"$/,
  )
  expect(fields(await w.zt.line(/direction="inbound"/, from))).toMatchObject({
    'src.identity': 'spiffe://cluster.local/ns/demo/sa/client',
    'dst.addr': '10.77.0.3:15008',
    'dst.hbone_addr': '10.77.0.3:8080',
    'dst.service': 'httpbin.demo.svc.cluster.local',
    bytes_sent: '15',
    bytes_recv: '5',
  })
})

test('a service address leads to an endpoint on its target port', async () => {
  const { answer, line } = await w.call(w.client, '10.96.0.80', 80, 'vip')
  expect(answer).toBe('10.77.0.2 vip')
  expect(fields(line)).toMatchObject({
    'dst.addr': '10.77.0.3:15008',
    'dst.hbone_addr': '10.77.0.3:8080',
    'dst.service': 'httpbin.demo.svc.cluster.local',
  })
})

test('a pod that calls its own service comes back to itself through its own ztunnel', async () => {
  expect(await exchange(w.bed.dial(w.server, '10.96.0.80', 80), 'self')).toBe('10.77.0.3 self')
})

test('parallel connections share one HBONE connection', async () => {
  const sockets = Array.from({ length: 20 }, () => w.bed.dial(w.client, w.server.ip, 8080))
  await Promise.all(sockets.map((s) => new Promise((resolve) => s.once('data', resolve))))
  expect(w.bed.run(w.client, 'ss -Htn state established dport = 15008').trim().split('\n')).toHaveLength(1)
  await Promise.all(sockets.map((s) => exchange(s, 'x')))
})

test('each side can end first, and the other goes on', async () => {
  await w.bed.serve(w.server, 8081, (socket) => {
    socket.end('first')
    let got = ''
    socket.on('data', (chunk) => {
      got += chunk
    })
    socket.on('end', () => late.resolve(got))
  })
  const late = Promise.withResolvers<string>()
  const socket = w.bed.dial(w.client, w.server.ip, 8081)
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
  expect(await exchange(w.bed.dial(w.client, w.server.ip, 8080), body)).toBe(`10.77.0.2 ${body}`)
}, 20_000)

test('plaintext from outside reaches the application with its source, logged without an identity', async () => {
  const called = await w.call(w.plain, w.server.ip, 8080, 'clear')
  expect(called.answer).toBe('10.77.0.4 clear')
  const line = fields(called.line)
  expect(line.direction).toBe('inbound')
  expect(line).toMatchObject({ 'src.workload': 'plain', 'dst.addr': '10.77.0.3:8080', 'dst.service': 'httpbin.demo.svc.cluster.local' })
  expect(line).not.toHaveProperty('src.identity')
  expect(line).not.toHaveProperty('dst.hbone_addr')
})

test('a destination outside the mesh gets plain TCP from the pod’s own address; an unknown one too', async () => {
  const out = await w.call(w.client, w.plain.ip, 8080, 'out')
  expect(out.answer).toBe('10.77.0.2 out')
  expect(fields(out.line)).toMatchObject({ direction: 'outbound', 'dst.addr': '10.77.0.4:8080', 'dst.workload': 'plain' })
  await w.bed.serve(w.own, 8080, echo)
  const away = await w.call(w.client, w.own.ip, 8080, 'away')
  expect(away.answer).toBe('10.77.0.2 away')
  expect(fields(away.line)).toMatchObject({ direction: 'outbound', 'dst.addr': '10.77.0.9:8080' })
  expect(away.line).not.toMatch(/dst\.workload/)
})

test('a closed port ends the connection, and both logs say why', async () => {
  const { answer, line } = await w.call(w.client, w.server.ip, 9999, 'x')
  expect(answer).toBe('')
  expect(fields(line)).toMatchObject({ direction: 'outbound', error: 'http status: 503 Service Unavailable' })
  const inbound = await w.zt.line(/direction="inbound".*error/)
  expect(fields(inbound)).toMatchObject({
    'dst.hbone_addr': '10.77.0.3:9999',
    error: 'connection failed: Connection refused (os error 111)',
  })
})

test.each([
  ['from outside to 15006', () => w.plain, () => w.server.ip, 15006],
  ['from outside to 15001', () => w.plain, () => w.server.ip, 15001],
  ['from the pod to its own 15001', () => w.server, () => w.server.ip, 15001],
  ['from the pod to its own 15006', () => w.server, () => w.server.ip, 15006],
  ['from the pod to loopback 15001', () => w.server, () => '127.0.0.1', 15001],
])('ztunnel does not call itself: %s', async (_name, pod, address, port) => {
  const { answer, line } = await w.call(pod(), address(), port, 'loop')
  expect(answer).toBe('')
  expect(line).toMatch(/\twarn\taccess\tconnection failed\t.*error="attempted recursive call to ourselves"/)
})

test('a mesh client that asks for 15008 itself is refused by the server’s side', async () => {
  const from = w.zt.lines.length
  expect(fields((await w.call(w.client, w.server.ip, 15008, 'loop')).line).error).toBe('http status: 503 Service Unavailable')
  await w.zt.line(/dst\.addr=10\.77\.0\.3:15008 direction="inbound" error="attempted recursive call to ourselves"/, from)
})

test('bytes that are no TLS on 15008 are refused with a line, and ztunnel goes on', async () => {
  const { line } = await w.call(w.plain, w.server.ip, 15008, 'GET / HTTP/1.1\r\n\r\n')
  expect(line).toMatch(/\twarn\taccess\tconnection failed\t.*error="tls error: http request \(ERR_SSL_HTTP_REQUEST\)"$/)
  expect(await exchange(w.bed.dial(w.client, w.server.ip, 8080), 'still')).toBe('10.77.0.2 still')
})
