import { answerClient } from '../lib/app-command.ts'
import {
  clientHalfClosePort,
  clientSocket,
  http2Port,
  httpPort,
  serverFirstPort,
  serverHalfClosePort,
  serverSocket,
  tcpPort,
  udpPort,
} from '../lib/app-protocol.ts'
import { listenForLines } from '../lib/line-server.ts'
import { tcpEcho, tcpLine } from './echo.ts'
import { http2Server, httpServer } from './http.ts'
import { Ports, TcpPort } from './ports.ts'
import { UdpPort } from './udp-port.ts'

// Echoes what it saw over HTTP, raw TCP and UDP; does requests too, so that a pod can call itself. NAME_PORT (0: any free one), HTTPBIN_SOCKET and SLEEP_SOCKET are for tests.
const path = process.env.HTTPBIN_SOCKET ?? serverSocket

function port(name: string, standard: number): number {
  const text = process.env[`${name}_PORT`]
  if (text === undefined) return standard
  const value = Number(text)
  if (/^\d+$/.test(text) && value <= 65_535) return value
  console.error(`httpbin: ${name}_PORT must be a port number from 0 to 65535, is ${JSON.stringify(text)}`)
  process.exit(2)
}

process.on('SIGTERM', () => process.exit(0))
process.on('SIGINT', () => process.exit(0))
const ports = new Ports()
const listening = {
  http: await ports.add(new TcpPort(httpServer(), port('HTTP', httpPort))),
  http2: await ports.add(new TcpPort(http2Server(), port('HTTP2', http2Port))),
  tcp: await ports.add(new TcpPort(tcpEcho(), port('TCP', tcpPort))),
  udp: await ports.add(new UdpPort(port('UDP', udpPort))),
  clientHalfClose: await ports.add(new TcpPort(tcpEcho({ late: true }), port('CLIENT_HALF_CLOSE', clientHalfClosePort))),
  serverHalfClose: await ports.add(new TcpPort(tcpLine(), port('SERVER_HALF_CLOSE', serverHalfClosePort))),
  serverFirst: await ports.add(new TcpPort(tcpEcho({ greets: true }), port('SERVER_FIRST', serverFirstPort))),
}
await listenForLines(path, (line) => ports.answer(line))
await listenForLines(process.env.SLEEP_SOCKET ?? clientSocket, answerClient)
console.log(JSON.stringify({ event: 'listening', ...listening, path }))
