import { createServer, Socket } from 'node:net'
import { expect, test } from 'vitest'
import { AF_INET, SOCK_STREAM } from '../../../lib/libc.ts'
import { socketInNetns } from '../../../lib/netns.ts'
import { memoryLog, testNamespace } from '../../testing/namespace.ts'
import { InpodRedirection } from './inpod.ts'
import { inpodReleases } from './releases.ts'

test('a connection from before the enrolment does not go on in plaintext, even where conntrack was active already', async () => {
  const [node, pod] = await Promise.all([testNamespace(), testNamespace()])
  await pod.run('ip', 'link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'veth0', 'netns', String(node.pid))
  for (const argv of [
    ['ip', 'addr', 'add', '10.244.1.5/24', 'dev', 'eth0'],
    ['ip', 'link', 'set', 'eth0', 'up'],
  ])
    await pod.run(...argv)
  for (const argv of [
    ['ip', 'addr', 'add', '10.244.1.1/24', 'dev', 'veth0'],
    ['ip', 'link', 'set', 'veth0', 'up'],
  ])
    await node.run(...argv)
  const redirection = new InpodRedirection({ host: node.fd, dnsCapture: true, ipv6: true, release: inpodReleases.today, log: memoryLog() })
  const about = { uid: 'u', namespace: 'demo', name: 'p', netns: pod.fd, ips: ['10.244.1.5'], labels: {}, annotations: {} }
  const server = createServer((s) => s.on('error', () => {}).pipe(s))
  let client: Socket | undefined
  try {
    // A rule of the pod's own keeps conntrack active.
    await pod.run('iptables-nft', '-A', 'OUTPUT', '-m', 'conntrack', '--ctstate', 'INVALID', '-j', 'DROP')
    const bind = { address: '10.244.1.1', port: 8080 }
    await new Promise<void>((resolve) => server.listen({ fd: socketInNetns(node.fd, AF_INET, SOCK_STREAM, { bind }) }, resolve))
    const connected = new Socket({ fd: socketInNetns(pod.fd, AF_INET, SOCK_STREAM) })
    client = connected
    await new Promise<void>((resolve) => connected.connect(8080, '10.244.1.1', resolve))
    connected.setEncoding('utf8')
    const next = () =>
      new Promise((resolve) => {
        connected.once('data', resolve)
        connected.once('error', (e: NodeJS.ErrnoException) => resolve(e.code))
        connected.once('end', () => resolve('end'))
      })
    connected.write('before')
    expect(await next()).toBe('before')
    await redirection.addPod(about)
    connected.write('after')
    expect(await next()).toBe('ECONNRESET')
  } finally {
    client?.destroy()
    server.close()
    await Promise.all([node.close(), pod.close()])
  }
})
