import { createSocket, type Socket as UdpSocket } from 'node:dgram'
import { createServer, type Server, type Socket } from 'node:net'
import { greeting } from '../lib/app-protocol.ts'
import { endpoint } from '../lib/endpoint.ts'
import { endsOf, Received } from './served.ts'

/**
 * Raw TCP echo: sends back what comes as it comes; when the peer has ended its side, logs the connection and ends its own.
 * `greets`: says something before it is spoken to. `late`: sends nothing back before the peer has ended.
 */
export function tcpEcho({ greets = false, late = false } = {}): Server {
  return listener((socket) => {
    const ends = endsOf(socket)
    const received = new Received()
    const kept: Buffer[] = []
    if (greets) socket.write(greeting)
    socket.on('data', (chunk) => {
      received.add(chunk)
      if (late) kept.push(chunk)
      else if (!socket.write(chunk)) {
        socket.pause()
        socket.once('drain', () => socket.resume())
      }
    })
    socket.on('end', () => {
      received.log('tcp', ends)
      socket.end(Buffer.concat(kept))
    })
  })
}

/** Sends the first line back and ends its side at once, then goes on reading; logs the connection when the peer has ended too. */
export function tcpLine(): Server {
  return listener((socket) => {
    const ends = endsOf(socket)
    const received = new Received()
    let line: Buffer | undefined = Buffer.alloc(0)
    socket.on('data', (chunk) => {
      received.add(chunk)
      if (!line) return
      line = Buffer.concat([line, chunk])
      const end = line.indexOf('\n') + 1
      if (end === 0) return
      socket.end(line.subarray(0, end))
      line = undefined
    })
    socket.on('end', () => {
      received.log('tcp', ends)
      socket.end()
    })
  })
}

function listener(serve: (socket: Socket) => void): Server {
  return createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    serve(socket)
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
