import { httpPort, serverSocket, tcpPort, udpPort } from '../lib/app-protocol.ts'
import { listenForLines } from '../lib/line-server.ts'
import { tcpEcho, udpEcho } from './echo.ts'
import { httpServer } from './http.ts'
import { Ports } from './ports.ts'

// Echoes what it saw over HTTP, raw TCP and UDP. HTTP_PORT, TCP_PORT, UDP_PORT (0: any free one) and HTTPBIN_SOCKET are for tests.
const path = process.env.HTTPBIN_SOCKET ?? serverSocket

function port(name: string, standard: number): number {
  const text = process.env[name]
  if (text === undefined) return standard
  const value = Number(text)
  if (/^\d+$/.test(text) && value <= 65_535) return value
  console.error(`httpbin: ${name} must be a port number from 0 to 65535, is ${JSON.stringify(text)}`)
  process.exit(2)
}

async function openUdp(number: number): Promise<number> {
  for (const family of ['udp6', 'udp4'] as const) {
    const socket = udpEcho(family)
    const { promise, resolve } = Promise.withResolvers<Error | undefined>()
    socket.once('error', resolve)
    socket.bind({ port: number, address: family === 'udp6' ? '::' : '0.0.0.0' }, () => resolve(undefined))
    const problem = await promise
    // Later errors belong to single datagrams (an unreachable peer): nothing to do about them.
    socket.on('error', () => {})
    if (!problem) return socket.address().port
    socket.close()
    const { code } = problem as NodeJS.ErrnoException
    if (family === 'udp4' || (code !== 'EAFNOSUPPORT' && code !== 'EADDRNOTAVAIL')) throw problem
  }
  throw new Error('unreachable')
}

process.on('SIGTERM', () => process.exit(0))
process.on('SIGINT', () => process.exit(0))
const ports = new Ports()
const http = await ports.add(httpServer(), port('HTTP_PORT', httpPort))
const tcp = await ports.add(tcpEcho(), port('TCP_PORT', tcpPort))
const udp = await openUdp(port('UDP_PORT', udpPort))
await listenForLines(path, (line) => ports.answer(line))
console.log(JSON.stringify({ event: 'listening', http, tcp, udp, path }))
