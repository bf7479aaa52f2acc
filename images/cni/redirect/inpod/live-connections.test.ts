import { createServer, type Server, Socket } from 'node:net'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { AF_INET, IP_TRANSPARENT, SOCK_STREAM, SOL_IP } from '../../../lib/libc.ts'
import { type SocketOptions, socketInNetns } from '../../../lib/netns.ts'
import { memoryLog, type TestNamespace, testNamespace } from '../../testing/namespace.ts'
import { modeRelease } from '../modes.ts'
import type { Redirection } from '../redirection.ts'

let node: TestNamespace
let pod: TestNamespace
const open: (Server | Socket)[] = []
beforeEach(async () => {
  ;[node, pod] = await Promise.all([testNamespace(), testNamespace()])
  await pod.run('ip', 'link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'veth0', 'netns', String(node.pid))
  const up = (of: TestNamespace, dev: string, address: string) =>
    of.run('sh', '-c', `ip addr add ${address}/24 dev ${dev} && ip link set ${dev} up`)
  await up(node, 'veth0', nodeIp)
  await up(pod, 'eth0', podIp)
  // A rule of the pod's own keeps conntrack active.
  await pod.run('iptables-nft', '-A', 'OUTPUT', '-m', 'conntrack', '--ctstate', 'INVALID', '-j', 'DROP')
})
afterEach(async () => {
  for (const each of open.splice(0)) 'destroy' in each ? each.destroy() : each.close()
  await Promise.all([node.close(), pod.close()])
})

const podIp = '10.244.1.5'
const nodeIp = '10.244.1.1'
const about = () => ({ uid: 'u', namespace: 'demo', name: 'p', netns: pod.fd, ips: [podIp], labels: {}, annotations: {} })
const redirectionOf = (release: string): Redirection =>
  modeRelease('inpod', release).make({ host: node.fd, dnsCapture: true, ipv6: true, log: memoryLog() })

/** A server, by default one that echoes. */
async function serve(
  at: TestNamespace,
  address: string,
  port: number,
  options: SocketOptions = {},
  serving = (socket: Socket): unknown => socket.pipe(socket),
): Promise<void> {
  const server = createServer((s) => {
    open.push(s)
    serving(s.on('error', () => {}))
  })
  open.push(server)
  const fd = socketInNetns(at.fd, AF_INET, SOCK_STREAM, { ...options, bind: { address, port } })
  await new Promise<void>((resolve) => server.listen({ fd }, resolve))
}

/** A connection, and what comes back for each thing that is said on it: the echo, how it ended, or `nothing` within a second (or another time, milliseconds). */
async function talk(
  from: TestNamespace,
  to: string,
  options: SocketOptions = {},
): Promise<(text: string, patience?: number) => Promise<string | undefined>> {
  const socket = new Socket({ fd: socketInNetns(from.fd, AF_INET, SOCK_STREAM, options) })
  open.push(socket)
  await new Promise<void>((resolve, reject) => socket.once('error', reject).connect(8080, to, resolve))
  socket.removeAllListeners('error')
  socket.setEncoding('utf8')
  return (text, patience = 1000) =>
    new Promise((resolve) => {
      setTimeout(() => resolve('nothing'), patience)
      socket.once('data', resolve)
      socket.once('error', (e: NodeJS.ErrnoException) => resolve(e.code))
      socket.once('end', () => resolve('end'))
      socket.write(text)
    })
}

/** Resolves when connections from a namespace are turned to a proxy: none is there, and they are refused. */
async function captured(of: TestNamespace): Promise<void> {
  const connects = () =>
    talk(of, nodeIp).then(
      () => true,
      () => false,
    )
  while (await connects());
}

test.for([
  ['outbound', 'today', 'ECONNRESET'],
  ['outbound', '1.21', 'ECONNRESET'],
  ['inbound', 'today', 'ECONNRESET'],
  ['inbound', '1.21', 'nothing'],
] as const)(
  'an %s connection from before the enrolment, release %s, does not go on in plaintext, even where conntrack was active: %s',
  async ([direction, release, expected]) => {
    const [client, server, address] = direction === 'outbound' ? [pod, node, nodeIp] : [node, pod, podIp]
    await serve(server, address, 8080)
    const say = await talk(client, address)
    expect(await say('before')).toBe('before')
    await redirectionOf(release).addPod(about())
    expect(await say('after')).toBe(expected)
  },
)

test.for([
  ['outbound', 'today', 'ECONNRESET'],
  ['outbound', '1.21', 'ECONNRESET'],
  ['inbound', 'today', 'ECONNRESET'],
  ['inbound', '1.21', 'nothing'],
] as const)(
  'the same of a pod that runs already, %s, release %s: what is in flight meanwhile comes to its end, and when it is done, %s',
  async ([direction, release, expected]) => {
    const [client, server, address] = direction === 'outbound' ? [pod, node, nodeIp] : [node, pod, podIp]
    await serve(server, address, 8080)
    const say = await talk(client, address)
    expect(await say('before')).toBe('before')
    const capturing = redirectionOf(release).addRunningPod(about())
    expect(await say('in flight')).toBe('in flight')
    await capturing
    expect(await say('after')).toBe(expected)
  },
)

test.for(['today', '1.21'])(
  'an answer that is under way when an outbound connection is cut, release %s, is lost with it, and the next that is said meets the reset',
  async (release) => {
    const asked = Promise.withResolvers<Socket>()
    await serve(node, nodeIp, 8080, {}, (socket) => socket.once('data', () => asked.resolve(socket)))
    const say = await talk(pod, nodeIp)
    const answered = say('question', 4000)
    const server = await asked.promise
    await redirectionOf(release).addRunningPod(about())
    server.write('answer')
    expect(await answered).toBe('nothing')
    expect(await say('next')).toBe('ECONNRESET')
  },
)

test.for(['today', '1.21'])(
  'a pod that runs already, release %s: the proxy, which carries already what is captured meanwhile, gets the answers to what it sent itself',
  async (release) => {
    const asked = Promise.withResolvers<Socket>()
    await serve(node, nodeIp, 8080, {}, (socket) => socket.once('data', () => asked.resolve(socket)))
    const capturing = redirectionOf(release).addRunningPod(about())
    await captured(pod)
    const answered = (await talk(pod, nodeIp, { mark: 0x539 }))('question', 4000)
    const server = await asked.promise
    await capturing
    server.write('answer')
    expect(await answered).toBe('answer')
  },
)

test('a pod that runs already, release 1.21: an inbound connection that is captured meanwhile goes on', async () => {
  await serve(pod, '0.0.0.0', 15006, { mark: 0x539, options: [[SOL_IP, IP_TRANSPARENT, 1]] })
  const capturing = redirectionOf('1.21').addRunningPod(about())
  let say: Awaited<ReturnType<typeof talk>> | undefined
  while (!say) say = await talk(node, podIp).catch(() => undefined)
  expect(await say('captured')).toBe('captured')
  await capturing
  expect(await say('still')).toBe('still')
})

test('a pod that runs already: a connection that is captured meanwhile goes on', async () => {
  await serve(pod, '0.0.0.0', 15001, { mark: 0x539 })
  const capturing = redirectionOf('today').addRunningPod(about())
  let say: Awaited<ReturnType<typeof talk>> | undefined
  // Nobody listens at the node: it answers from the moment of capture on.
  while (!say) say = await talk(pod, nodeIp).catch(() => undefined)
  expect(await say('captured')).toBe('captured')
  await capturing
  expect(await say('still')).toBe('still')
})

test('a pod that leaves: new connections are not captured any more, and what is translated goes on', async () => {
  const redirection = redirectionOf('today')
  await redirection.addPod(about())
  // In the proxy's place, with its mark: what is turned to it is echoed.
  await serve(pod, '0.0.0.0', 15001, { mark: 0x539 })
  const translated = await talk(pod, nodeIp)
  expect(await translated('captured')).toBe('captured')
  await redirection.stopCapture(about())
  expect(await translated('still')).toBe('still')
  // Nobody listens there: without capture it is refused.
  await expect(pod.run('timeout', '2', 'bash', '-c', `echo > /dev/tcp/${nodeIp}/8080`)).rejects.toThrow(/refused/)
})

test('a captured inbound connection goes on when its pod leaves, release 1.21: its addresses were never translated', async () => {
  const redirection = redirectionOf('1.21')
  await redirection.addPod(about())
  await serve(pod, '0.0.0.0', 15006, { mark: 0x539, options: [[SOL_IP, IP_TRANSPARENT, 1]] })
  const say = await talk(node, podIp)
  expect(await say('before')).toBe('before')
  await redirection.removePod(about(), true)
  expect(await pod.run('iptables-nft-save')).not.toContain('ISTIO')
  expect(await say('after')).toBe('after')
})

test('a pod that leaves, release 1.21: what the proxy carries to it with its client as the source goes on, what it carries from it is cut, and nothing is captured any more', async () => {
  const redirection = redirectionOf('1.21')
  await redirection.addPod(about())
  await serve(pod, podIp, 8080)
  await serve(pod, '0.0.0.0', 15001, { mark: 0x539 })
  // What the proxy opens: marked, from an address that is not the pod's.
  const asClient = { mark: 0x539, options: [[SOL_IP, IP_TRANSPARENT, 1]], bind: { address: nodeIp, port: 0 } } satisfies SocketOptions
  const [carried, outbound] = [await talk(pod, podIp, asClient), await talk(pod, nodeIp)]
  expect([await carried('before'), await outbound('before')]).toEqual(['before', 'before'])
  await redirection.stopCapture(about())
  expect([await carried('in flight'), await outbound('in flight')]).toEqual(['in flight', 'in flight'])
  const late = await talk(pod, podIp, asClient)
  await expect(pod.run('timeout', '2', 'bash', '-c', `echo > /dev/tcp/${nodeIp}/8080`)).rejects.toThrow(/refused/)
  expect(await redirection.endCapture(about())).toBe(true)
  expect([await carried('after'), await late('after'), await outbound('after')]).toEqual(['after', 'after', 'ECONNRESET'])
  expect(await redirection.isMarked(pod.fd)).toBe(true)
})
