import { frameKind } from '../frames.ts'
import type { Output } from './output.ts'
import type { RingPacket } from './packet-ring.ts'

/** Flows that are a load's: those of these clients. `search`: what its tokens begin with; without it the packets are not even looked at. */
export interface Spared {
  /** IPv4 addresses as numbers. */
  readonly clients: readonly number[]
  readonly search?: string
}

const packetSource = 26
const packetDestination = 30
/** Ethernet, IPv4 and TCP without options: no payload begins sooner. */
const firstPayload = 54
/** MARK.SEQ.RANDOM, with room. */
const longestToken = 120
/** Readable packets of a load that are kept whole, in each namespace: enough to look at, not a capture of the load. */
const kept = 200

/**
 * Reads the packets of a load in one namespace instead of writing them down: a capture of thousands of connections would be no evidence that anybody can carry, and what is asked of them is one thing,
 * whether a token is readable. Each token is told once for each device where it is. A token is written with one call and is shorter than any segment, so it is not cut by packets.
 */
export class LoadSearch {
  readonly #netns: string
  readonly #spared: Spared
  readonly #needle: Buffer
  readonly #output: Output
  readonly #told = new Set<string>()
  #kept = 0

  constructor(netns: string, spared: Spared & { readonly search: string }, output: Output) {
    this.#netns = netns
    this.#spared = spared
    this.#needle = Buffer.from(spared.search)
    this.#output = output
  }

  /** @returns `none`: no packet of the load; `read`: one, and that was all; `keep`: one that was readable on its way between pods, to be written down too */
  take(packet: RingPacket, dev: string): 'none' | 'read' | 'keep' {
    const { data } = packet
    if (data.length < firstPayload || data.readUInt16BE(12) !== 0x0800) return 'none'
    if (
      !this.#spared.clients.includes(data.readUInt32BE(packetSource)) &&
      !this.#spared.clients.includes(data.readUInt32BE(packetDestination))
    )
      return 'none'
    const at = data.indexOf(this.#needle, firstPayload - 20)
    if (at < 0) return 'read'
    const token = /^[A-Za-z0-9]+\.[0-9]*\.?[0-9a-f]*/.exec(data.toString('latin1', at, at + longestToken))![0]
    const key = `${dev} ${token}`
    if (!this.#told.has(key)) {
      this.#told.add(key)
      const t = packet.seconds * 1e6 + packet.nanoseconds / 1e3
      this.#output.line(frameKind.sightings, { netns: this.#netns, dev, direction: packet.direction, token }, t)
    }
    return dev !== 'lo' && this.#kept++ < kept ? 'keep' : 'read'
  }
}
