import { type ChildProcess, spawn } from 'node:child_process'
import dgram from 'node:dgram'
import { once } from 'node:events'
import net from 'node:net'
import packet, { type RecordType } from 'dns-packet'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { AF_INET, SOCK_DGRAM, SOCK_STREAM } from '../../images/lib/libc.ts'
import { inNetnsAt, socketInNetns } from '../../images/lib/netns.ts'
import type { Endpoint, EndpointSlice, KubernetesObject, Service } from '../kubernetes.ts'
import { answerMessage } from './dns/answer.ts'
import { buildZone } from './dns/zone.ts'
import { type DnsServer, dnsObjects, startDns } from './dns.ts'
import type { View, ViewKinds } from './view.ts'

const service = (name: string, clusterIP: string, extra: Partial<Service['spec']> = {}): Service => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name, namespace: 'demo' },
  spec: { clusterIP, ports: [{ name: 'http', port: 80, targetPort: 8080, protocol: 'TCP' }], ...extra },
})
const slice = (name: string, endpoints: Endpoint[]): EndpointSlice => ({
  apiVersion: 'discovery.k8s.io/v1',
  kind: 'EndpointSlice',
  metadata: { name: `${name}-x`, namespace: 'demo', labels: { 'kubernetes.io/service-name': name } },
  addressType: 'IPv4',
  endpoints,
  ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
})
const namespaces: KubernetesObject[] = [{ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'demo' } }]
const many = Array.from({ length: 60 }, (_, i) => ({ addresses: [`10.244.2.${i + 1}`], conditions: { ready: true } }))
const zone = buildZone(
  [
    service('web', '10.96.0.20'),
    service('headless', 'None'),
    service('early', 'None', { publishNotReadyAddresses: true }),
    service('many', 'None'),
  ],
  [
    slice('web', [{ addresses: ['10.244.1.9'], conditions: { ready: true } }]),
    slice('headless', [
      { addresses: ['10.244.1.5'], conditions: { ready: true } },
      { addresses: ['10.244.1.6'], conditions: { ready: true }, hostname: 'db-0' },
      { addresses: ['10.244.1.7'], conditions: { ready: false } },
    ]),
    slice('early', [{ addresses: ['10.244.1.7'], conditions: { ready: false } }]),
    slice('many', many),
  ],
  namespaces,
)

function ask(name: string, type: RecordType, extra: packet.Packet = {}, transport: 'udp' | 'tcp' = 'udp') {
  const query = packet.encode({ type: 'query', id: 7, flags: packet.RECURSION_DESIRED, questions: [{ name, type }], ...extra })
  const answer = answerMessage(query, zone, transport)
  if (!answer) throw new Error('no answer')
  const decoded = packet.decode(answer)
  return { ...decoded, bytes: answer.length, data: decoded.answers?.map((a) => ('data' in a ? a.data : undefined)) ?? [] }
}

describe('names', () => {
  test.each<[string, RecordType, unknown[]]>([
    ['web.demo.svc.cluster.local', 'A', ['10.96.0.20']],
    ['WEB.Demo.svc.cluster.LOCAL', 'A', ['10.96.0.20']],
    ['headless.demo.svc.cluster.local', 'A', ['10.244.1.5', '10.244.1.6']],
    ['early.demo.svc.cluster.local', 'A', ['10.244.1.7']],
    ['10-244-1-5.headless.demo.svc.cluster.local', 'A', ['10.244.1.5']],
    ['db-0.headless.demo.svc.cluster.local', 'A', ['10.244.1.6']],
    ['10-244-3-4.demo.pod.cluster.local', 'A', ['10.244.3.4']],
    ['_http._tcp.web.demo.svc.cluster.local', 'SRV', [{ priority: 0, weight: 100, port: 80, target: 'web.demo.svc.cluster.local' }]],
    [
      '_http._tcp.headless.demo.svc.cluster.local',
      'SRV',
      ['10-244-1-5', 'db-0'].map((label) => ({ priority: 0, weight: 100, port: 8080, target: `${label}.headless.demo.svc.cluster.local` })),
    ],
    ['20.0.96.10.in-addr.arpa', 'PTR', ['web.demo.svc.cluster.local']],
    ['6.1.244.10.in-addr.arpa', 'PTR', ['db-0.headless.demo.svc.cluster.local']],
    ['cluster.local', 'NS', ['ns.dns.cluster.local']],
  ])('%s %s', (name, type, data) => {
    const answer = ask(name, type)
    expect([...answer.data].sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1))).toEqual(data)
    expect(answer).toMatchObject({ id: 7, rcode: 'NOERROR', flag_aa: true, flag_rd: true, questions: [{ name, type }] })
  })

  test("SRV answers bring the targets' addresses", () => {
    expect(ask('_http._tcp.web.demo.svc.cluster.local', 'SRV').additionals).toMatchObject([
      { name: 'web.demo.svc.cluster.local', type: 'A', data: '10.96.0.20' },
    ])
  })

  test('headless answers start with another pod each time', () => {
    const first = () => ask('headless.demo.svc.cluster.local', 'A').data[0]
    expect(new Set([first(), first()]).size).toBe(2)
  })

  test.each([
    ['web.demo.svc.cluster.local', 'AAAA'],
    ['_tcp.web.demo.svc.cluster.local', 'A'],
    ['demo.svc.cluster.local', 'A'],
    ['svc.cluster.local', 'A'],
  ] as const)('%s %s is there, without data', (name, type) => {
    expect(ask(name, type)).toMatchObject({
      rcode: 'NOERROR',
      answers: [],
      authorities: [{ type: 'SOA', name: 'cluster.local', data: { minimum: 30 } }],
    })
  })

  test.each([
    'nope.demo.svc.cluster.local',
    'web.nope.svc.cluster.local',
    'web.demo.svc.cluster.local.demo.svc.cluster.local',
    '10-244-1-7.headless.demo.svc.cluster.local',
    '10-244-3-400.demo.pod.cluster.local',
    '1.0.0.10.in-addr.arpa',
  ])('%s is not there', (name) => {
    expect(ask(name, 'A')).toMatchObject({ rcode: 'NXDOMAIN', answers: [], authorities: [{ type: 'SOA' }] })
  })

  test('the world outside is refused', () => {
    expect(ask('example.com', 'A')).toMatchObject({ rcode: 'REFUSED', flag_aa: false })
  })
})

describe('messages', () => {
  const opt = (udpPayloadSize: number) => ({
    additionals: [{ type: 'OPT', name: '.', udpPayloadSize, flags: 0, options: [] } as unknown as packet.Answer],
  })

  test("an answer over the client's limit is truncated, over TCP it is whole", () => {
    const name = 'many.demo.svc.cluster.local'
    const plain = ask(name, 'A')
    expect(plain).toMatchObject({ flag_tc: true, rcode: 'NOERROR' })
    expect(plain.bytes).toBeLessThanOrEqual(512)
    expect(ask(name, 'A', {}, 'tcp')).toMatchObject({ flag_tc: false, answers: { length: 60 } })
    const edns = ask(name, 'A', opt(4096))
    expect(edns).toMatchObject({ flag_tc: true, additionals: [{ type: 'OPT', udpPayloadSize: 1232 }] })
    expect(edns.bytes).toBeGreaterThan(512)
    expect(edns.bytes).toBeLessThanOrEqual(1232)
  })

  test('other operations are not implemented, several questions are a mistake', () => {
    expect(ask('a.cluster.local', 'A', { flags: 4 << 11 })).toMatchObject({ rcode: 'NOTIMP' })
    const question = { name: 'a.cluster.local', type: 'A' } as const
    expect(ask('', 'A', { questions: [question, question] })).toMatchObject({ rcode: 'FORMERR' })
  })

  test('an answer is not answered, and whatever else comes does no harm', () => {
    expect(answerMessage(packet.encode({ type: 'response', id: 1 }), zone, 'udp')).toBeUndefined()
    const query = packet.encode({ type: 'query', id: 7, questions: [{ name: 'web.demo.svc.cluster.local', type: 'A' }] })
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array({ maxLength: 64 }),
          fc.tuple(fc.nat(query.length - 1), fc.nat(255)).map(([i, b]) => Buffer.from(query).fill(b, i, i + 1)),
        ),
        (bytes) => {
          const answer = answerMessage(Buffer.from(bytes), zone, 'udp')
          if (answer) expect(answer.length).toBeGreaterThanOrEqual(12)
        },
      ),
      { numRuns: 500 },
    )
  })
})

/** The types do not know it. */
const rcodeOf = (message: Buffer) => (packet.decode(message) as unknown as { rcode: string }).rcode

describe('the server', () => {
  let holder: ChildProcess
  let netnsPath: string
  let server: DnsServer | undefined
  let changed = () => {}
  const objects: Partial<ViewKinds[keyof ViewKinds]>[] & { services: Service[] } = Object.assign([], {
    services: [service('web', '10.96.0.20')],
  })
  const view: View = {
    list: (kind) => (kind === 'services' ? objects.services : []) as never,
    watch: (_, onChange) => {
      changed = onChange
      return () => {}
    },
  }

  beforeAll(async () => {
    holder = spawn('unshare', ['--net', 'sh', '-c', 'ip link set lo up; echo ready; exec sleep 1000'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    await once(holder.stdout!, 'data')
    netnsPath = `/proc/${holder.pid}/ns/net`
    server = await startDns({ view, netnsPath, address: '127.0.0.1' })
  })
  afterAll(async () => {
    await server?.close()
    holder.kill('SIGKILL')
  })

  const query = (name: string) => packet.encode({ type: 'query', id: 1, questions: [{ name, type: 'A' }] })
  const inside = (type: number) => inNetnsAt(netnsPath, () => socketInNetns(undefined, AF_INET, type))

  test('answers over UDP in its namespace, from the newest state', async () => {
    const socket = dgram.createSocket('udp4')
    socket.bind({
      fd: inNetnsAt(netnsPath, () => socketInNetns(undefined, AF_INET, SOCK_DGRAM, { bind: { address: '127.0.0.1', port: 0 } })),
    })
    const rcode = async (name: string) => {
      socket.send(query(name), 53, '127.0.0.1')
      const [message] = await once(socket, 'message')
      return rcodeOf(message)
    }
    expect(await rcode('web.demo.svc.cluster.local')).toBe('NOERROR')
    expect(await rcode('new.demo.svc.cluster.local')).toBe('NXDOMAIN')
    objects.services.push(service('new', '10.96.0.21'))
    changed()
    expect(await rcode('new.demo.svc.cluster.local')).toBe('NOERROR')
    socket.close()
  })

  test('answers several questions over one TCP connection, however they are cut', async () => {
    const socket = new net.Socket({ fd: inside(SOCK_STREAM) })
    socket.connect(53, '127.0.0.1')
    await once(socket, 'connect')
    const message = query('web.demo.svc.cluster.local')
    const framed = Buffer.concat([Buffer.from([0, message.length]), message])
    const stream = Buffer.concat([framed, framed])
    socket.write(stream.subarray(0, 1))
    socket.write(stream.subarray(1, 50))
    socket.write(stream.subarray(50))
    let received = Buffer.alloc(0)
    for await (const part of socket) {
      received = Buffer.concat([received, part])
      if (received.length >= 2 * (2 + received.readUInt16BE(0))) break
    }
    expect(rcodeOf(received.subarray(2, 2 + received.readUInt16BE(0)))).toBe('NOERROR')
  })
})

test('the service and its endpoints belong together', () => {
  const [made, endpoints] = dnsObjects('172.30.0.1') as [Service, EndpointSlice]
  expect(made.spec.clusterIP).toBe('10.96.0.10')
  expect(endpoints.metadata.labels?.['kubernetes.io/service-name']).toBe(made.metadata.name)
  expect(made.spec.ports?.map((p) => p.name)).toEqual(endpoints.ports?.map((p) => p.name))
})
