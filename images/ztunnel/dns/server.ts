import { createSocket, type Socket as UdpSocket } from 'node:dgram'
import { createServer, type Server, type Socket } from 'node:net'
import dns from 'dns-packet'
import { canonicalAddress } from '../address.ts'
import { ports } from '../config.ts'
import { ownWorkload, type ProxyContext } from '../context.ts'
import type { Labels } from '../metrics/registry.ts'
import { type KnownName, lookUp, ttl } from './answer.ts'
import { Forwarder, FrameReader, frame } from './forward.ts'
import type { ResolverConfig } from './names.ts'

const idle = 10_000
const maxConnections = 256
/** Without EDNS a UDP answer may have this many bytes (RFC 1035 2.3.4). */
const plainUdpSize = 512
/** Where a message says how many answers it has (RFC 1035 4.1.1); a forwarder's answer is never shorter than a header. */
const ANSWER_COUNT = 6

/** The DNS proxy of one pod: answers what the mesh knows, forwards the rest (fact sheet: in-pod mode, 4.12). */
export class DnsServer {
  readonly #context: ProxyContext
  readonly #askedBy: (address: string) => ProxyContext
  readonly #forwarder: Forwarder
  readonly #resolver: () => ResolverConfig
  readonly #udp: UdpSocket[] = []
  readonly #tcp: Server[] = []
  readonly #clients = new Set<Socket>()

  /**
   * @param resolver read for each question: the file can change
   * @param askedBy whose question it is, by the address that it comes from. @default the one pod's
   */
  constructor(context: ProxyContext, resolver: () => ResolverConfig, askedBy: (address: string) => ProxyContext = () => context) {
    this.#context = context
    this.#askedBy = askedBy
    this.#resolver = resolver
    this.#forwarder = new Forwarder(context.release.dnsSockets(context.placement), () => resolver().nameservers)
  }

  /** Binds UDP and TCP on each loopback address. @throws Error naming the address */
  async start(): Promise<void> {
    for (const address of this.#context.placement.loopbacks) {
      await this.#listenUdp(address)
      await this.#listenTcp(address)
    }
  }

  async #listenUdp(address: string): Promise<void> {
    const fd = this.#context.placement.bindUdp({ address, port: ports.dns })
    const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4')
    this.#udp.push(socket)
    socket.on('message', (question, from) => {
      void this.#answer(this.#askedBy(from.address), question, 'udp').then((answer) => {
        if (answer && this.#udp.includes(socket)) socket.send(answer, from.port, from.address, () => {})
      })
    })
    await new Promise<void>((resolve, reject) => {
      socket.once('error', reject)
      socket.bind({ fd }, () => {
        socket.off('error', reject)
        socket.on('error', (error) => this.#context.log('warn', 'dns', 'udp socket failed', { error: error.message }))
        resolve()
      })
    })
  }

  async #listenTcp(address: string): Promise<void> {
    const fd = this.#context.placement.bindTcp({ address, port: ports.dns })
    const server = createServer((client) => this.#serveTcp(client))
    server.maxConnections = maxConnections
    this.#tcp.push(server)
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen({ fd }, 128, () => {
        server.off('error', reject)
        server.on('error', (error) => this.#context.log('warn', 'dns', 'tcp listener failed', { error: error.message }))
        resolve()
      })
    })
  }

  #serveTcp(client: Socket): void {
    this.#clients.add(client)
    client.once('close', () => this.#clients.delete(client))
    client.on('error', () => {})
    client.setTimeout(idle, () => client.destroy())
    const context = this.#askedBy(canonicalAddress(client.remoteAddress ?? '') ?? '')
    const reader = new FrameReader((question) => {
      void this.#answer(context, question, 'tcp').then((answer) => {
        if (!client.writable) return
        if (answer) client.write(frame(answer))
        else client.destroy()
      })
    })
    client.on('data', (chunk) => reader.push(chunk))
  }

  /** Undefined: the packet is no question that can be answered. Never rejects. */
  async #answer(context: ProxyContext, packet: Buffer, transport: 'udp' | 'tcp'): Promise<Buffer | undefined> {
    let question: dns.DecodedPacket
    try {
      question = dns.decode(packet)
      if (question.type !== 'query' || packet.length < 12) return undefined
    } catch {
      return undefined
    }
    const { dns: metrics } = context.metrics
    const labels = labelsOf(context, question, transport)
    metrics.requests.of(labels).value++
    try {
      const known = await this.#known(context, question)
      if (known) {
        tell(context, question, known.addresses.length > 0 ? 'success' : 'no records', known.addresses.length)
        return encode(question, known, transport)
      }
      metrics.forwarded.of(labels).value++
      const asked = performance.now()
      const answer = await this.#forwarder.ask(packet, transport).catch((error) => {
        metrics.failures.of(labels).value++
        tell(context, question, `forwarding failed (${(error as Error).message})`, 0)
        throw error
      })
      tell(context, question, 'forwarded', answer.readUInt16BE(ANSWER_COUNT))
      metrics.duration.observe(labels, (performance.now() - asked) / 1000)
      return answer
    } catch (error) {
      context.log('debug', 'dns', 'question could not be answered', { error: (error as Error).message })
      return failure(question)
    }
  }

  async #known(context: ProxyContext, question: dns.DecodedPacket): Promise<KnownName | undefined> {
    const [asked, more] = question.questions ?? []
    if (
      !asked ||
      more ||
      (question as { opcode?: string }).opcode !== 'QUERY' ||
      (asked.type !== 'A' && asked.type !== 'AAAA') ||
      (asked.class ?? 'IN') !== 'IN'
    )
      return undefined
    const workload = await ownWorkload(context)
    if (!workload) return undefined
    const asker = { workload, domain: context.config.clusterDomain, search: this.#resolver().search }
    return lookUp(context.state, asker, asked.name, asked.type)
  }

  close(): void {
    for (const socket of this.#udp.splice(0)) socket.close()
    for (const server of this.#tcp.splice(0)) server.close()
    for (const client of this.#clients) client.destroy()
    this.#forwarder.close()
  }
}

function labelsOf(context: ProxyContext, question: dns.DecodedPacket, transport: 'udp' | 'tcp'): Labels {
  const own = context.self.workload()
  return {
    // A type without a name comes as UNKNOWN_n: any number of them could be asked.
    request_query_type: (question.questions?.[0]?.type ?? 'unknown').toLowerCase().replace(/^unknown_.*/, 'unknown'),
    request_protocol: transport,
    source_canonical_service: own?.canonicalName || 'unknown',
    source_canonical_revision: own?.canonicalRevision || 'unknown',
  }
}

/** The log of questions, as upstream has it: at level debug. */
function tell({ log, self }: ProxyContext, question: dns.DecodedPacket, result: string, endpoints: number): void {
  const own = self.workload()
  const [asked] = question.questions ?? []
  log('debug', 'dns', '', {
    'src.workload': own?.name ?? 'unknown',
    'src.namespace': own?.namespace ?? 'unknown',
    query: asked?.type,
    domain: asked && `${asked.name}.`,
    result,
    endpoints,
  })
}

function encode(question: dns.DecodedPacket, known: KnownName, transport: 'udp' | 'tcp'): Buffer {
  const asked = question.questions![0]!
  const name = known.canonical ?? asked.name
  const edns = question.additionals?.find((a) => a.type === 'OPT')
  const answers: dns.Answer[] = known.canonical ? [{ type: 'CNAME', name: asked.name, ttl, data: known.canonical }] : []
  for (const data of shuffled(known.addresses)) answers.push({ type: asked.type as 'A' | 'AAAA', name, ttl, data })
  const make = (kept: dns.Answer[], truncated: boolean) =>
    dns.encode({
      type: 'response',
      id: question.id ?? 0,
      flags:
        (question.flag_rd ? dns.RECURSION_DESIRED : 0) |
        dns.RECURSION_AVAILABLE |
        dns.AUTHORITATIVE_ANSWER |
        (truncated ? dns.TRUNCATED_RESPONSE : 0),
      questions: question.questions ?? [],
      answers: kept,
      ...(edns && { additionals: [{ type: 'OPT', name: '.', udpPayloadSize: 4096, flags: 0, options: [] } as unknown as dns.Answer] }),
    })
  const whole = make(answers, false)
  const size = Math.max(plainUdpSize, (edns as { udpPayloadSize?: number } | undefined)?.udpPayloadSize ?? 0)
  return transport === 'tcp' || whole.length <= size ? whole : make([], true)
}

function failure(question: dns.DecodedPacket): Buffer {
  const SERVFAIL = 2
  return dns.encode({
    type: 'response',
    id: question.id ?? 0,
    flags: (question.flag_rd ? dns.RECURSION_DESIRED : 0) | dns.RECURSION_AVAILABLE | SERVFAIL,
    questions: question.questions ?? [],
  })
}

function shuffled<T>(items: readonly T[]): T[] {
  const all = [...items]
  for (let i = all.length - 1; i > 0; i--) {
    const j = Math.floor(Math.random() * (i + 1))
    ;[all[i], all[j]] = [all[j]!, all[i]!]
  }
  return all
}
