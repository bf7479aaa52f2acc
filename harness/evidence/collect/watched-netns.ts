import { closeSync, openSync } from 'node:fs'
import { frameKind } from '../frames.ts'
import { nowMicros } from './clock.ts'
import { Connections } from './connections.ts'
import type { Conntrack } from './conntrack.ts'
import { Interfaces } from './interfaces.ts'
import { LegacyTraces, legacyFamilies } from './legacy-traces.ts'
import type { Spared } from './load-search.ts'
import { MarkerSocket, markerInTrace } from './marker.ts'
import type { NetlinkSocket } from './netlink.ts'
import type { Output } from './output.ts'
import type { RingSize } from './packet-ring.ts'
import { type PacketFile, Packets } from './packets.ts'
import { onEachProcessor } from './processors.ts'
import { Sockets } from './sockets.ts'
import { decodeTrace, openTraces } from './traces.ts'

/** How long a marker may take through the streams of a namespace, milliseconds. */
const markerTimeout = 2000

/** Events read in a row before packets have their turn: rings are short, netlink queues are long. */
const batch = 100

type Marked = 'packets' | 'traces' | 'sockets'

interface PendingMarker {
  readonly missing: Set<Marked>
  readonly done: () => void
}

/** All streams of one network namespace. Opening is all or nothing. */
export class WatchedNetns {
  readonly label: string
  readonly inode: number
  readonly fd: number
  readonly #output: Output
  readonly #interfaces: Interfaces
  readonly #packets: Packets
  readonly #traces: NetlinkSocket
  readonly #connections: Connections
  readonly #sockets: Sockets
  readonly #marker: MarkerSocket
  readonly #learnt: Conntrack[] = []
  readonly #pending = new Map<string, PendingMarker>()
  /** Only where there are iptables-legacy tables. */
  #legacy: LegacyTraces | undefined
  readonly #opened: { close(): void }[] = []

  /**
   * @param path namespace file
   * @param label its name in the bundle: `node`, or `NAMESPACE.POD`
   */
  constructor(path: string, inode: number, label: string, ring: RingSize, file: PacketFile, output: Output) {
    this.label = label
    this.inode = inode
    this.#output = output
    this.fd = openSync(path, 'r')
    const keep = <T extends { close(): void }>(opened: T): T => {
      this.#opened.push(opened)
      return opened
    }
    try {
      this.#interfaces = keep(new Interfaces(this.fd, (learnt) => output.line(frameKind.interfaces, { netns: label, ...learnt })))
      this.#traces = keep(openTraces(this.fd))
      this.#connections = keep(new Connections(this.fd, (connection) => this.#learnt.push(connection)))
      this.#sockets = keep(
        new Sockets(
          this.fd,
          () => this.#drainTraces(),
          (socket) => output.line(frameKind.sockets, { netns: label, ...socket }),
        ),
      )
      this.#marker = keep(new MarkerSocket(this.fd))
      this.#packets = keep(new Packets(this.fd, label, ring, this.#interfaces, file, output, (marker) => this.#seen(marker, 'packets')))
    } catch (error) {
      this.close()
      throw error
    }
    this.#traces.watch(() => this.#drainTraces(batch))
    this.#connections.watch(() => {
      this.#connections.drain(batch)
      this.#tellConnections()
    })
    this.#sockets.watch()
  }

  /** To be called when the trace rules stand: what is lost counts from here. */
  ready(): void {
    this.#sockets.learnPresent()
  }

  /** Leaves the flows of these clients out of all streams but the traces, which rules choose; of connections and sockets those are asked for then that are traced. */
  spare(spared: Spared | undefined): void {
    this.#packets.spare(spared)
    this.#sockets.spare(spared?.clients ?? [])
    this.#connections.ask(spared !== undefined)
    this.#tellConnections()
  }

  /** Opens the traces of iptables-legacy rules, if there are such tables and it is not done yet: tables can come late. */
  watchLegacy(): void {
    if (this.#legacy || legacyFamilies(this.fd).length === 0) return
    this.#legacy = new LegacyTraces(this.fd)
    this.#opened.push(this.#legacy)
    this.#legacy.watch(() => this.#drainLegacy(batch))
  }

  #drainLegacy(limit?: number): void {
    const t = nowMicros()
    let lines = ''
    const onTrace = (trace: object) => {
      lines += `${JSON.stringify({ t, netns: this.label, ...trace })}\n`
    }
    this.#legacy?.drain((index) => this.#interfaces.name(index), onTrace, limit)
    if (lines) this.#output.send(frameKind.traces, lines)
  }

  #drainTraces(limit?: number): void {
    const t = nowMicros()
    let lines = ''
    const markers: string[] = []
    this.#traces.drain((type, body) => {
      const trace = decodeTrace(type, body, (index) => this.#interfaces.name(index))
      if (!trace) return
      lines += `${JSON.stringify({ t, netns: this.label, ...trace })}\n`
      this.#sockets.onTrace(trace)
      this.#connections.onTrace(trace)
      const marker = markerInTrace(trace.nh, trace.th)
      if (marker !== undefined) markers.push(marker)
    }, limit)
    if (lines) this.#output.send(frameKind.traces, lines)
    this.#tellConnections()
    for (const marker of markers) this.#seen(marker, 'traces')
  }

  #tellConnections(): void {
    if (this.#learnt.length === 0) return
    const t = nowMicros()
    const lines = this.#learnt.splice(0).map((connection) => `${JSON.stringify({ t, netns: this.label, ...connection })}\n`)
    this.#output.send(frameKind.conntrack, lines.join(''))
  }

  #seen(marker: string, stream: Marked): void {
    const pending = this.#pending.get(marker)
    if (!pending?.missing.delete(stream) || pending.missing.size > 0) return
    pending.done()
  }

  /**
   * Sends a marker over lo and destroys a socket; resolves when the packet, its trace line and the socket came out of the streams.
   * Rejects naming what did not, after two seconds.
   * @param everyProcessor one socket on each processor: events of destroyed sockets wait in a queue for each, which all namespaces share
   */
  async mark(marker: string, everyProcessor = false): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const missing = new Set<Marked>(['packets', 'traces', 'sockets'])
    this.#pending.set(marker, { missing, done: resolve })
    const timer = setTimeout(
      () =>
        reject(new Error(`${this.label}: marker ${marker} did not come out of ${[...missing].join(' and ')} within ${markerTimeout} ms`)),
      markerTimeout,
    )
    try {
      let probes = 0
      const probe = () => {
        probes++
        this.#sockets.probe(() => {
          probes--
          if (probes === 0) this.#seen(marker, 'sockets')
        })
      }
      if (everyProcessor) onEachProcessor(probe)
      else probe()
      this.#marker.send(marker)
      this.#packets.push()
      await promise
    } finally {
      clearTimeout(timer)
      this.#pending.delete(marker)
    }
  }

  /** Hands over all that the kernel has ready now, and what was lost since the last time. */
  flush(): void {
    this.#packets.settle()
    this.#drainTraces()
    this.#drainLegacy()
    this.#connections.flush()
    this.#tellConnections()
    this.#sockets.drain()
    const t = nowMicros()
    const lost = {
      packets: this.#packets.takeLost(),
      traces: this.#traces.takeLost() + (this.#legacy?.takeLost() ?? 0),
      conntrack: this.#connections.takeLost(),
      sockets: this.#sockets.takeLost(),
    }
    const truncated = this.#packets.takeTruncated()
    for (const [stream, count] of Object.entries(lost)) {
      const cut = stream === 'packets' && truncated.packets > 0 ? { truncated } : {}
      this.#output.line(frameKind.stats, { netns: this.label, stream, lost: count, ...cut }, t)
    }
  }

  close(): void {
    for (const opened of this.#opened.splice(0)) opened.close()
    closeSync(this.fd)
  }
}
