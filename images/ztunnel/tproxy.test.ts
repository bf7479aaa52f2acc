import { createSocket } from 'node:dgram'
import dns from 'dns-packet'
import { expect, test, vi } from 'vitest'
import { exchange } from './testbed/network.ts'
import { fields, world } from './testbed/world.ts'

// Release 1.21: inbound comes by TPROXY with its addresses as they were, and the agent gives no more than a UID.
const w = world('1.21')

test('its settings and the pods are told in the words of that release', async () => {
  await w.zt.line(/pod received snapshot sent$/)
  const said = w.zt.lines.map((line) => line.split('\t').slice(2).join(' '))
  for (const line of [
    'app inpod_enabled: true',
    `app inpod_uds: ${w.zt.socketPath}`,
    'app inpod_port_reuse: true',
    'app inpod_mark: 1337',
    'inpod::statemanager pod WorkloadUid("uid-client") received netns, starting proxy uid="uid-client"',
  ])
    expect(said).toContain(line)
})

test('mesh to mesh goes through HBONE with both identities, found by the pods’ addresses', async () => {
  const from = w.zt.lines.length
  expect(await exchange(w.bed.dial(w.client, w.server.ip, 8080), 'hello')).toBe('10.77.0.2 hello')
  const identities = {
    'src.identity': 'spiffe://cluster.local/ns/demo/sa/client',
    'dst.identity': 'spiffe://cluster.local/ns/demo/sa/server',
  }
  const tunnel = { 'dst.addr': '10.77.0.3:15008', 'dst.hbone_addr': '10.77.0.3:8080' }
  expect(fields(await w.zt.line(/direction="outbound"/, from))).toMatchObject({ ...identities, ...tunnel })
  expect(fields(await w.zt.line(/direction="inbound"/, from))).toMatchObject({ ...identities, ...tunnel })
})

test('an accepted plaintext connection has the destination that the client asked for, and its source reaches the application', async () => {
  const socket = w.bed.dial(w.plain, w.server.ip, 8080)
  await new Promise((resolve) => socket.once('data', resolve))
  const accepted = w.bed.run(w.server, 'ss -Htne state established sport = 8080').split('\n')
  expect(accepted.filter((line) => /10\.77\.0\.4.*fwmark:0x539/.test(line))).toHaveLength(1)
  expect(w.bed.run(w.server, 'ss -Htn state established sport = 15006')).toBe('')
  expect(await exchange(socket, 'clear')).toBe('clear')
  const line = fields(await w.zt.line(/src\.addr=10\.77\.0\.4:\d+ .*direction="inbound"/))
  expect(line).toMatchObject({ 'src.workload': 'plain', 'dst.addr': '10.77.0.3:8080' })
  expect(line).not.toHaveProperty('src.identity')
})

test.each([
  ['from outside to 15006', () => w.plain, 15006],
  ['from outside to 15001', () => w.plain, 15001],
  ['from the pod to its own 15006', () => w.server, 15006],
])('ztunnel does not call itself: %s', async (_name, pod, port) => {
  const { answer, line } = await w.call(pod(), w.server.ip, port, 'loop')
  expect(answer).toBe('')
  expect(line).toMatch(/\twarn\taccess\tconnection failed\t.*error="attempted recursive call to ourselves"/)
})

test('a question that the mesh cannot answer is asked from ztunnel’s own namespace: from the pod it would come back', async () => {
  const seen: string[] = []
  const upstream = createSocket('udp4')
  upstream.on('message', (question, from) => {
    seen.push(from.address)
    const { id, questions } = dns.decode(question)
    const answers = [{ type: 'A', name: questions![0]!.name, ttl: 5, data: '192.0.2.1' }] as const
    upstream.send(dns.encode({ type: 'response', id: id!, questions: questions!, answers: [...answers] }), from.port, from.address)
  })
  await new Promise<void>((resolve) => upstream.bind({ fd: w.bed.udp(w.plain, 53) }, resolve))
  const app = createSocket('udp4')
  await new Promise<void>((resolve) => app.bind({ fd: w.bed.udp(w.client) }, resolve))
  const ask = (name: string) =>
    new Promise<dns.DecodedPacket>((resolve) => {
      app.once('message', (answer) => resolve(dns.decode(answer)))
      app.send(dns.encode({ type: 'query', id: 7, flags: dns.RECURSION_DESIRED, questions: [{ type: 'A', name }] }), 53, w.plain.ip)
    })
  expect((await ask('httpbin.demo.svc.cluster.local')).answers).toMatchObject([{ data: '10.96.0.80' }])
  expect(seen).toEqual([])
  expect((await ask('example.org')).answers).toMatchObject([{ data: '192.0.2.1' }])
  expect(seen).toEqual([w.own.ip])
  app.close()
  upstream.close()
})

test('a deleted pod’s connections may end by themselves: no new ones, the open one goes on', async () => {
  const open = w.bed.dial(w.plain, w.server.ip, 8080)
  await new Promise((resolve) => open.once('data', resolve))
  const agent = await w.zt.agent()
  expect(await agent.send({ del: { uid: 'uid-server' } })).toBeUndefined()
  await w.zt.line(/\tinpod::statemanager\tpod delete request, draining proxy\tuid="uid-server"$/)
  await vi.waitFor(() => expect(w.bed.run(w.server, 'ss -Htln sport = 15006')).toBe(''), 10_000)
  expect(await exchange(open, 'still')).toBe('still')
  expect(await agent.addByUid(w.server)).toBeUndefined()
  expect(await exchange(w.bed.dial(w.client, w.server.ip, 8080), 'again')).toBe('10.77.0.2 again')
})
