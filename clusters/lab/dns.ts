import dgram from 'node:dgram'
import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import net from 'node:net'
import { AF_INET, SOCK_DGRAM, SOCK_STREAM } from '../../images/lib/libc.ts'
import { socketInNetns } from '../../images/lib/netns.ts'
import type { KubernetesObject } from '../kubernetes.ts'
import { answerMessage } from './dns/answer.ts'
import { buildZone, type Zone } from './dns/zone.ts'
import type { View } from './view.ts'

/** What resolv.conf of pods and nodes names. */
export const dnsServiceAddress = '10.96.0.10'
/** A client that holds a TCP connection without asking is cut off, milliseconds. */
const idleMs = 10_000

export interface DnsOptions {
  readonly view: View
  /** Where to listen: network namespace as this process sees it, and the address in it. */
  readonly netnsPath: string
  readonly address: string
  /** @default 53 */
  readonly port?: number
}

export interface DnsServer {
  close(): Promise<void>
}

/** Serves `cluster.local` from Services and EndpointSlices over UDP and TCP; an answer is never older than the last change. */
export async function startDns({ view, netnsPath, address, port = 53 }: DnsOptions): Promise<DnsServer> {
  let zone: Zone | undefined
  const current = () => {
    zone ??= buildZone(view.list('services'), view.list('endpointslices'), view.list('namespaces'))
    return zone
  }
  const unwatch = view.watch(['services', 'endpointslices', 'namespaces'], () => {
    zone = undefined
  })
  const netns = openSync(netnsPath, 'r')
  try {
    const udp = dgram.createSocket('udp4')
    udp.on('message', (message, peer) => {
      const answer = answerMessage(message, current(), 'udp')
      if (answer) udp.send(answer, peer.port, peer.address)
    })
    // An answer that cannot be delivered is the client's loss.
    udp.on('error', () => {})
    // A socket that is bound by descriptor says 'listening' at once.
    const listening = once(udp, 'listening')
    udp.bind({ fd: socketInNetns(netns, AF_INET, SOCK_DGRAM, { bind: { address, port } }) })
    const clients = new Set<net.Socket>()
    const tcp = net.createServer((socket) => {
      clients.add(socket)
      socket.on('close', () => clients.delete(socket))
      serve(socket, current)
    })
    tcp.listen({ fd: socketInNetns(netns, AF_INET, SOCK_STREAM, { reuseAddress: true, bind: { address, port } }) })
    await Promise.all([listening, once(tcp, 'listening')])
    return {
      async close() {
        unwatch()
        const closed = Promise.all([once(udp, 'close'), once(tcp, 'close')])
        udp.close()
        tcp.close()
        for (const client of clients) client.destroy()
        await closed
      },
    }
  } finally {
    closeSync(netns)
  }
}

/** DNS over TCP (RFC 7766): messages with two bytes of length before each, several a connection. */
function serve(socket: net.Socket, zone: () => Zone): void {
  let buffer = Buffer.alloc(0)
  socket.setTimeout(idleMs, () => socket.destroy())
  socket.on('error', () => {})
  socket.on('data', (part: Buffer) => {
    buffer = Buffer.concat([buffer, part])
    while (buffer.length >= 2 && buffer.length >= 2 + buffer.readUInt16BE(0)) {
      const end = 2 + buffer.readUInt16BE(0)
      const answer = answerMessage(buffer.subarray(2, end), zone(), 'tcp')
      buffer = buffer.subarray(end)
      if (!answer) {
        socket.destroy()
        return
      }
      const length = Buffer.alloc(2)
      length.writeUInt16BE(answer.length)
      socket.write(Buffer.concat([length, answer]))
    }
  })
}

/** The `kube-dns` Service and the endpoints behind it: the server is no pod. */
export function dnsObjects(address: string): KubernetesObject[] {
  const metadata = {
    name: 'kube-dns',
    namespace: 'kube-system',
    labels: { 'k8s-app': 'kube-dns', 'kubernetes.io/service-name': 'kube-dns' },
  }
  const ports = [
    { name: 'dns', port: 53, protocol: 'UDP' },
    { name: 'dns-tcp', port: 53, protocol: 'TCP' },
  ]
  return [
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'kube-dns', namespace: 'kube-system', labels: { 'k8s-app': 'kube-dns' } },
      spec: { clusterIP: dnsServiceAddress, ports: ports.map((p) => ({ ...p, targetPort: 53 })) },
    },
    {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata,
      addressType: 'IPv4',
      endpoints: [{ addresses: [address], conditions: { ready: true } }],
      ports,
    },
  ]
}
