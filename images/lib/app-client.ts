import type { Socket as UdpSocket } from 'node:dgram'
import { lookup } from 'node:dns/promises'
import { connect, isIP, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { addressesOf, askOverTcp, askOverUdp, overUdp, udpSocket } from './app-datagrams.ts'
import { fault, overHttp, overHttp2, overTcp, type Seen } from './app-exchanges.ts'
import type { ClientRequest, ClientResult } from './app-protocol.ts'
import { openTunnel } from './app-tunnel.ts'
import { unmapped } from './endpoint.ts'

type Phase = NonNullable<ClientResult['error']>['phase']

/** Where names are asked for. */
const dnsPort = 53

/**
 * Does one request over a connection (or from a socket) of its own, from the network namespace of this process. Never throws: what goes wrong is in the result.
 * What `ok` means, and the error codes: see ClientResult.
 */
export async function doRequest(request: ClientRequest): Promise<ClientResult> {
  const work = new Work(request)
  const startedAt = now()
  const timeOut = Promise.withResolvers<never>()
  const timer = setTimeout(
    () => timeOut.reject(fault('ETIMEDOUT', `no end after ${request.timeoutMs} ms (phase: ${work.phase})`)),
    request.timeoutMs,
  )
  try {
    await Promise.race([work.run(), timeOut.promise])
    return { id: request.id, ok: true, ...work.seen, startedAt, endedAt: now() }
  } catch (error) {
    const { code = 'EUNKNOWN', message } = error as NodeJS.ErrnoException
    return { id: request.id, ok: false, ...work.seen, error: { code, message, phase: work.phase }, startedAt, endedAt: now() }
  } finally {
    clearTimeout(timer)
    work.end()
  }
}

/** One request under way: what it has found out, how far it is, and what has to be closed. */
class Work {
  readonly #request: ClientRequest
  readonly seen: Seen = {}
  phase: Phase = 'resolve'
  readonly #udp: UdpSocket[] = []
  #tcp: Socket | undefined

  constructor(request: ClientRequest) {
    this.#request = request
  }

  async run(): Promise<void> {
    const { protocol, port, question, body, tunnel } = this.#request
    if (tunnel) return this.#through(tunnel)
    const host = await this.#address(this.#request.host)
    const request = { ...this.#request, host }
    this.phase = 'connect'
    if (protocol === 'udp') return overUdp(this.#datagrams(), request, this.seen, () => this.#connected())
    if (protocol === 'dns') {
      if (!question) throw fault('EBADREQUEST', 'a dns request needs a question')
      const ask =
        question.transport === 'tcp'
          ? this.#connect(host, port).then((socket) => askOverTcp(socket, question.name, body))
          : askOverUdp(this.#datagrams(), { host, port }, question.name, body, (localPort) => {
              this.seen.localPort = localPort
              this.#connected()
            })
      this.seen.answer = await ask
      addressesOf(this.seen.answer, question.name)
      return
    }
    const socket = await this.#connect(host, port)
    // The name stays what the server is told it is.
    const over = { http: overHttp, http2: overHttp2, tcp: overTcp }[protocol]
    await over(socket, this.#request, this.seen)
  }

  async #through(tunnel: NonNullable<ClientRequest['tunnel']>): Promise<void> {
    const [name, port] = partsOf(tunnel.endpoint)
    const host = await this.#address(name)
    this.phase = 'connect'
    const socket = await this.#connect(host, port)
    this.phase = 'tunnel'
    const carrier: Duplex = await openTunnel(socket, { ...this.#request, tunnel })
    this.phase = 'request'
    await (this.#request.protocol === 'http' ? overHttp : overTcp)(carrier, this.#request, this.seen)
  }

  async #address(host: string): Promise<string> {
    const { resolver } = this.#request
    if (isIP(host)) return host
    if (resolver === undefined) return (await lookup(host)).address
    const answer = await askOverUdp(this.#datagrams(), { host: resolver, port: dnsPort }, host, '', () => {})
    this.seen.answer = answer
    return addressesOf(answer, host)[0]!
  }

  #datagrams(): UdpSocket {
    const socket = udpSocket()
    this.#udp.push(socket)
    return socket
  }

  async #connect(host: string, port: number): Promise<Socket> {
    // HTTP/2 sees the other side's end only as the connection's.
    this.#tcp = connect({ host, port, allowHalfOpen: this.#request.protocol !== 'http2', noDelay: true })
    await connected(this.#tcp, (port) => {
      this.seen.localPort = port
    })
    Object.assign(this.seen, ends(this.#tcp))
    this.#connected()
    return this.#tcp
  }

  #connected(): void {
    this.seen.connectedAt = now()
    this.phase = 'request'
  }

  end(): void {
    this.#tcp?.destroy()
    for (const socket of this.#udp) socket.close()
  }
}

/** Wall clock, milliseconds since 1970 with fractions. */
function now(): number {
  return performance.timeOrigin + performance.now()
}

function partsOf(endpoint: string): [host: string, port: number] {
  const colon = endpoint.lastIndexOf(':')
  return [endpoint.slice(0, colon), Number(endpoint.slice(colon + 1))]
}

/** Waits for the connection; tells the local port as soon as the kernel has chosen it, so that a refused connection can be found in the captures too. */
function connected(socket: Socket, onPort: (port: number) => void): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  socket.once('connect', resolve)
  socket.on('error', reject)
  socket.once('connectionAttempt', () =>
    process.nextTick(() => {
      // Node's public localPort is empty until the connection stands; the handle's getsockname is what fills it later.
      const name: { port?: number } = {}
      const { _handle: handle } = socket as unknown as { _handle?: { getsockname?(name: object): number } }
      handle?.getsockname?.(name)
      if (name.port) onPort(name.port)
    }),
  )
  return promise
}

function ends(socket: Socket): Partial<ClientResult> {
  const { localAddress, localPort, remoteAddress, remotePort } = socket
  if (localAddress === undefined || localPort === undefined || remoteAddress === undefined || remotePort === undefined) return {}
  return { localAddress: unmapped(localAddress), localPort, remoteAddress: unmapped(remoteAddress), remotePort }
}
