import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { openSync } from 'node:fs'
import { createServer, Socket } from 'node:net'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { AF_INET, SOCK_STREAM } from '../../images/lib/libc.ts'
import { socketInNetns } from '../../images/lib/netns.ts'
import type { Endpoint, EndpointSlice, Service } from '../kubernetes.ts'
import { startKubeProxy } from './kube-proxy.ts'
import type { View, ViewKinds } from './view.ts'

let holder: ChildProcess
let netnsPath: string
let netns: number
const cleanup: (() => void)[] = []

beforeEach(async () => {
  const setUp =
    'ip link set lo up; for i in 5 6; do ip addr add 10.244.1.$i/32 dev lo; done; ip link add out type veth peer name far; ip link set out up; ip link set far up; ip addr add 172.30.0.11/24 dev out; ip route add default via 172.30.0.1 dev out; echo ready; exec sleep 1000'
  holder = spawn('unshare', ['--net', 'sh', '-c', setUp], { stdio: ['ignore', 'pipe', 'inherit'] })
  await once(holder.stdout!, 'data')
  netnsPath = `/proc/${holder.pid}/ns/net`
  netns = openSync(netnsPath, 'r')
})

afterEach(() => {
  for (const end of cleanup.splice(0)) end()
  holder.kill('SIGKILL')
})

/** A view that holds what the test puts there. */
class Objects implements View {
  services: Service[] = []
  slices: EndpointSlice[] = []
  private listeners: (() => void)[] = []
  list<K extends keyof ViewKinds>(kind: K): readonly ViewKinds[K][] {
    return (kind === 'services' ? this.services : kind === 'endpointslices' ? this.slices : []) as ViewKinds[K][]
  }
  watch(_: readonly (keyof ViewKinds)[], onChange: () => void): () => void {
    this.listeners.push(onChange)
    return () => this.listeners.splice(this.listeners.indexOf(onChange), 1)
  }
  changed(endpoints: string[]): void {
    const ready = endpoints.map((address): Endpoint => ({ addresses: [address], conditions: { ready: true } }))
    const labels = { 'kubernetes.io/service-name': 'web' }
    this.services = [
      {
        apiVersion: 'v1',
        kind: 'Service',
        metadata: { name: 'web', namespace: 'demo' },
        spec: { clusterIP: '10.96.0.20', ports: [{ name: 'http', port: 80 }] },
      },
    ]
    this.slices = [
      {
        apiVersion: 'discovery.k8s.io/v1',
        kind: 'EndpointSlice',
        metadata: { name: 'web-1', namespace: 'demo', labels },
        addressType: 'IPv4',
        endpoints: ready,
        ports: [{ name: 'http', port: 8080 }],
      },
    ]
    for (const listener of this.listeners) listener()
  }
}

/** Says its own address and the client's to whoever connects. */
async function serve(address: string): Promise<void> {
  const server = createServer((socket) => socket.end(`${address} ${socket.remoteAddress}`))
  server.listen({ fd: socketInNetns(netns, AF_INET, SOCK_STREAM, { bind: { address, port: 8080 } }) })
  await once(server, 'listening')
  cleanup.push(() => server.close())
}

async function ask(host: string, port: number, from?: string): Promise<string> {
  const fd = socketInNetns(netns, AF_INET, SOCK_STREAM, from ? { bind: { address: from, port: 0 } } : {})
  // Node connects a descriptor that it got in the namespace it came from.
  const socket = new Socket({ fd })
  socket.setEncoding('utf8').connect(port, host)
  let text = ''
  for await (const part of socket) text += part
  return text
}

test('a node follows the services: reject, forward, spread, masquerade, and back', async () => {
  const view = new Objects()
  view.changed([])
  execFileSync('nsenter', [
    `--net=${netnsPath}`,
    'iptables-nft',
    '-t',
    'nat',
    '-A',
    'POSTROUTING',
    '-j',
    'ACCEPT',
    '-m',
    'comment',
    '--comment',
    'foreign',
  ])
  const save = () => execFileSync('nsenter', [`--net=${netnsPath}`, 'iptables-nft-save'], { encoding: 'utf8' })
  const errors: Error[] = []
  const proxy = await startKubeProxy({ view, netnsPath, onError: (error) => errors.push(error) })
  await serve('10.244.1.5')
  await serve('10.244.1.6')

  await expect(ask('10.96.0.20', 80)).rejects.toThrow('ECONNREFUSED')

  view.changed(['10.244.1.5'])
  await proxy.settled()
  const before = save()
  // The node is no pod: its address is replaced. A pod's stays.
  expect(await ask('10.96.0.20', 80, '172.30.0.11')).toMatch(/^10\.244\.1\.5 (?!172)/)
  expect(await ask('10.96.0.20', 80, '10.244.1.6')).toBe('10.244.1.5 10.244.1.6')

  view.changed(['10.244.1.5', '10.244.1.6'])
  await proxy.settled()
  const answers = new Set(await Promise.all(Array.from({ length: 40 }, async () => (await ask('10.96.0.20', 80)).split(' ')[0])))
  expect([...answers].sort()).toEqual(['10.244.1.5', '10.244.1.6'])

  view.changed(['10.244.1.5'])
  await proxy.settled()
  const rules = (text: string) =>
    text
      .split('\n')
      .filter((line) => /^[-:*]/.test(line))
      .map((line) => line.replace(/\[\d+:\d+\]/, ''))
  expect(rules(save())).toEqual(rules(before))
  expect(save()).toContain('foreign')
  view.changed([])
  await proxy.stop()
  expect(errors).toEqual([])
})
