import { createSocket, type Socket as UdpSocket } from 'node:dgram'
import { createServer, type Server, type Socket } from 'node:net'
import { endpoint } from '../lib/endpoint.ts'
import { endsOf, Received } from './served.ts'

/** Raw TCP echo: sends back what comes as it comes; when the peer has ended its side, logs the connection and ends its own. */
export function tcpEcho(): Server {
  return createServer({ allowHalfOpen: true, noDelay: true }, (socket: Socket) => {
    const ends = endsOf(socket)
    const received = new Received()
    socket.on('data', (chunk) => {
      received.add(chunk)
      if (socket.write(chunk)) return
      socket.pause()
      socket.once('drain', () => socket.resume())
    })
    socket.on('end', () => {
      received.log('tcp', ends)
      socket.end()
    })
    // A reset is the peer's way to end; it was not served.
    socket.on('error', () => socket.destroy())
  })
}

/** UDP echo: one datagram back for each that comes. The local end of a log line is the bound address. */
export function udpEcho(family: 'udp4' | 'udp6'): UdpSocket {
  const socket = createSocket(family)
  socket.on('message', (datagram, from) => {
    const received = new Received()
    received.add(datagram)
    const { address, port } = socket.address()
    received.log('udp', { peer: endpoint(from.address, from.port), local: endpoint(address, port) })
    socket.send(datagram, from.port, from.address, () => {})
  })
  return socket
}
