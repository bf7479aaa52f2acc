import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import type { Socket as TcpSocket } from 'node:net'
import dns from 'dns-packet'
import { fault, type Seen } from './app-exchanges.ts'
import type { ClientRequest, DnsAnswer } from './app-protocol.ts'
import { endpoint, unmapped } from './endpoint.ts'

/** EDNS option codes 65001 to 65534 are for local use (RFC 6891 9). */
const tokenOption = 65_001
const largestAnswer = 1232

/** One datagram and its echo. The socket is connected, so that a port that is closed tells of itself (ECONNREFUSED). */
export async function overUdp(socket: Socket, { host, port, body }: ClientRequest, seen: Seen, onConnected: () => void): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>()
  socket.on('error', reject)
  socket.on('message', resolve)
  await Promise.race([promise, new Promise<void>((done) => socket.connect(port, host, done))])
  const own = socket.address()
  const peer = socket.remoteAddress()
  Object.assign(seen, {
    localAddress: unmapped(own.address),
    localPort: own.port,
    remoteAddress: unmapped(peer.address),
    remotePort: peer.port,
  })
  onConnected()
  socket.send(body)
  const echo = await promise
  seen.body = echo.toString()
  if (seen.body !== body) throw fault('EECHO', `another datagram came back: ${echo.length} bytes`)
}

/** One question over UDP. The socket is not connected: who answers is read from the answer. */
export async function askOverUdp(
  socket: Socket,
  server: { readonly host: string; readonly port: number },
  name: string,
  token: string,
  onSent: (localPort: number) => void,
): Promise<DnsAnswer> {
  const { promise, resolve, reject } = Promise.withResolvers<DnsAnswer>()
  socket.on('error', reject)
  socket.bind(0)
  await Promise.race([once(socket, 'listening'), promise])
  const localPort = socket.address().port
  const { id, message } = question(name, token)
  socket.on('message', (answer, peer) => {
    if (answer.length >= 12 && answer.readUInt16BE(0) === id) resolve(read(answer, endpoint(peer.address, peer.port), localPort))
  })
  onSent(localPort)
  socket.send(message, server.port, server.host, (error) => error && reject(error))
  return promise
}

/** One question over a TCP connection that stands (RFC 1035 4.2.2). */
export async function askOverTcp(socket: TcpSocket, name: string, token: string): Promise<DnsAnswer> {
  const { id, message } = question(name, token)
  // A socket whose connection has ended does not tell its ends any more.
  const from = endpoint(socket.remoteAddress, socket.remotePort)
  const { localPort = 0 } = socket
  const length = Buffer.alloc(2)
  length.writeUInt16BE(message.length)
  // Not ended with it: many servers take the end of a client as its leaving.
  socket.write(Buffer.concat([length, message]))
  let bytes = Buffer.alloc(0)
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    bytes = Buffer.concat([bytes, chunk])
    if (bytes.length < 2 || bytes.length < 2 + bytes.readUInt16BE(0)) continue
    const answer = bytes.subarray(2, 2 + bytes.readUInt16BE(0))
    if (answer.length < 12 || answer.readUInt16BE(0) !== id) break
    socket.end()
    return read(answer, from, localPort)
  }
  throw fault('EECHO', 'the connection ended without an answer to the question')
}

/** @throws Error with code `DNS_<code>` when there is no address in it */
export function addressesOf(answer: DnsAnswer, name: string): readonly string[] {
  if (answer.code !== 'NOERROR') throw fault(`DNS_${answer.code}`, `${answer.from} answers ${answer.code} to ${name}`)
  if (answer.addresses.length === 0) throw fault('DNS_NODATA', `${answer.from} knows no IPv4 address of ${name}`)
  return answer.addresses
}

function question(name: string, token: string): { id: number; message: Buffer } {
  const id = Math.floor(Math.random() * 0x10000)
  const options = token === '' ? [] : [{ code: tokenOption, data: Buffer.from(token, 'latin1') }]
  const opt = { type: 'OPT', name: '.', udpPayloadSize: largestAnswer, flags: 0, options } as unknown as dns.Answer
  const message = dns.encode({ type: 'query', id, flags: dns.RECURSION_DESIRED, questions: [{ type: 'A', name }], additionals: [opt] })
  return { id, message }
}

function read(message: Buffer, from: string, localPort: number): DnsAnswer {
  const { rcode, answers = [] } = dns.decode(message) as dns.DecodedPacket & { rcode: string }
  const addresses = answers.flatMap((a) => (a.type === 'A' ? [a.data] : [])).sort()
  return { from, localPort, code: rcode, addresses }
}

export const udpSocket = (): Socket => createSocket('udp4')
