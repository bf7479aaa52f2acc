import { closeSync, openSync } from 'node:fs'
import { frameKind } from '../frames.ts'
import { nowMicros } from './clock.ts'
import { decodeConntrack, openConntrack } from './conntrack.ts'
import { Interfaces } from './interfaces.ts'
import { MarkerSocket, markerInTrace } from './marker.ts'
import type { NetlinkSocket } from './netlink.ts'
import type { Output } from './output.ts'
import type { RingSize } from './packet-ring.ts'
import { type PacketFile, Packets } from './packets.ts'
import { Sockets } from './sockets.ts'
import { decodeTrace, openTraces } from './traces.ts'

/** How long a marker may take through the streams of a namespace, milliseconds. */
const markerTimeout = 2000

interface PendingMarker {
  readonly missing: Set<'packets' | 'traces'>
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
  readonly #conntrack: NetlinkSocket
  readonly #sockets: Sockets
  readonly #marker: MarkerSocket
  readonly #pending = new Map<string, PendingMarker>()
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
      this.#conntrack = keep(openConntrack(this.fd))
      this.#sockets = keep(new Sockets(this.fd, (socket) => output.line(frameKind.sockets, { netns: label, ...socket })))
      this.#marker = keep(new MarkerSocket(this.fd))
      this.#packets = keep(new Packets(this.fd, label, ring, this.#interfaces, file, output, (marker) => this.#seen(marker, 'packets')))
    } catch (error) {
      this.close()
      throw error
    }
    this.#traces.watch(() => this.#drainTraces())
    this.#conntrack.watch(() => this.#drainConntrack())
    this.#sockets.watch(() => this.#drainTraces())
  }

  /** To be called when the trace rules stand: what is lost counts from here. */
  ready(): void {
    this.#sockets.learnPresent()
  }

  #drainTraces(): void {
    const t = nowMicros()
    let lines = ''
    const markers: string[] = []
    this.#traces.drain((type, body) => {
      const trace = decodeTrace(type, body, (index) => this.#interfaces.name(index))
      if (!trace) return
      lines += `${JSON.stringify({ t, netns: this.label, ...trace })}\n`
      this.#sockets.onTrace(trace)
      const marker = markerInTrace(trace.nh, trace.th)
      if (marker !== undefined) markers.push(marker)
    })
    if (lines) this.#output.send(frameKind.traces, lines)
    for (const marker of markers) this.#seen(marker, 'traces')
  }

  #drainConntrack(): void {
    const t = nowMicros()
    let lines = ''
    this.#conntrack.drain((type, body, flags) => {
      const event = decodeConntrack(type, body, flags)
      if (event) lines += `${JSON.stringify({ t, netns: this.label, ...event })}\n`
    })
    if (lines) this.#output.send(frameKind.conntrack, lines)
  }

  #seen(marker: string, stream: 'packets' | 'traces'): void {
    const pending = this.#pending.get(marker)
    if (!pending?.missing.delete(stream) || pending.missing.size > 0) return
    pending.done()
  }

  /** Sends a marker over lo; resolves when both its packet and its trace line came out of the streams. Rejects naming what did not, after two seconds. */
  async mark(marker: string): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const missing = new Set<'packets' | 'traces'>(['packets', 'traces'])
    this.#pending.set(marker, { missing, done: resolve })
    const timer = setTimeout(
      () =>
        reject(new Error(`${this.label}: marker ${marker} did not come out of ${[...missing].join(' and ')} within ${markerTimeout} ms`)),
      markerTimeout,
    )
    try {
      this.#marker.send(marker)
      await promise
    } finally {
      clearTimeout(timer)
      this.#pending.delete(marker)
    }
  }

  /** Hands over all that the kernel has ready now, and what was lost since the last time. */
  flush(): void {
    this.#packets.drain()
    this.#drainTraces()
    this.#drainConntrack()
    this.#sockets.drain()
    const t = nowMicros()
    const lost = {
      packets: this.#packets.takeLost(),
      traces: this.#traces.takeLost(),
      conntrack: this.#conntrack.takeLost(),
      sockets: this.#sockets.takeLost(),
    }
    for (const [stream, count] of Object.entries(lost)) this.#output.line(frameKind.stats, { netns: this.label, stream, lost: count }, t)
  }

  close(): void {
    for (const opened of this.#opened.splice(0)) opened.close()
    closeSync(this.fd)
  }
}
