import { randomBytes } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { AF_INET, AF_INET6, SystemError } from '../../../images/lib/libc.ts'
import { inNetns } from '../../../images/lib/netns.ts'
import { attribute, attributes, be32, NETLINK_NETFILTER, NetlinkSocket, text } from './netlink.ts'
import type { Trace } from './traces.ts'

// include/uapi/linux/netfilter/nfnetlink_log.h
const NFULNL_MSG_PACKET = 4 << 8
const NFULNL_MSG_CONFIG = (4 << 8) | 1
const NFULA_CFG_CMD = 1
const NFULA_CFG_MODE = 2
const NFULNL_CFG_CMD_BIND = 1
const NFULNL_COPY_PACKET = 2
const PACKET_HDR = 1
const MARK = 2
const INDEV = 4
const OUTDEV = 5
const PAYLOAD = 9
const PREFIX = 10
const EPERM = 1
const EBUSY = 16

/** Bytes of a packet, from its network header, that come with each line: IPv6 and TCP with all options fit. */
const copied = 128
const logger = 'nfnetlink_log'
const prefix = /^TRACE: ([^:]+):(.+):(rule|return|policy):(\d+) ?$/

/**
 * One line of a packet's walk through iptables-legacy tables. Told once, in a walk's first line: `nh`, `th`, `iif`, `oif`, as for nf_tables.
 * The kernel writes it before the rule's target runs: `mark` is the mark before the rule, and there is no verdict (`unknown`); both are found out by the parser.
 */
export interface LegacyTrace extends Omit<Trace, 'handle' | 'll'> {
  readonly backend: 'legacy'
  /** Of the rule in its chain, from 1. */
  readonly number: number
}

/** Families that have legacy tables in this namespace. Reading the names loads no module and makes no table. */
export function legacyFamilies(netns: number): ('ip' | 'ip6')[] {
  return inNetns(netns, () =>
    (['ip', 'ip6'] as const).filter((family) => {
      try {
        return readFileSync(`/proc/thread-self/net/${family}_tables_names`, 'utf8').trim() !== ''
      } catch (error) {
        // The module is not loaded: no tables anywhere on the node.
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false
        throw error
      }
    }),
  )
}

/**
 * Traces of a namespace's iptables-legacy rules. No rule of ours is needed in them: our nf_tables chains stand before legacy raw (priority -300), and legacy tables look at
 * the same trace flag of the packet that these chains set. So the selection is the same, and rule numbers stay as they are.
 * Where the kernel sends such lines is the namespace's logger (net.netfilter.nf_log.2 and .10): it is nfnetlink_log while this is open, whose group 0 gets them.
 */
export class LegacyTraces {
  readonly #netns: number
  readonly #socket: NetlinkSocket
  readonly #loggers = new Map<string, string>()
  readonly #walks = new Walks()

  constructor(netns: number) {
    this.#netns = netns
    this.#socket = new NetlinkSocket(netns, NETLINK_NETFILTER, [], 8 << 20)
    try {
      this.#configure(attribute(NFULA_CFG_CMD, Buffer.from([NFULNL_CFG_CMD_BIND])))
      this.#configure(attribute(NFULA_CFG_MODE, Buffer.from([0, 0, 0, copied, NFULNL_COPY_PACKET, 0])))
      for (const protocol of [AF_INET, AF_INET6]) this.#setLogger(`/proc/sys/net/netfilter/nf_log/${protocol}`)
    } catch (error) {
      this.close()
      // The kernel says EPERM to the second reader's configuration, EBUSY when both come at once.
      if (error instanceof SystemError && (error.errno === EPERM || error.errno === EBUSY))
        throw new Error('traces of iptables-legacy rules: nflog group 0 of the namespace has a reader already (ulogd?): stop it')
      throw error
    }
  }

  #configure(attributeBytes: Buffer): void {
    this.#socket.configure(NFULNL_MSG_CONFIG, Buffer.concat([Buffer.alloc(4), attributeBytes]))
  }

  #setLogger(file: string): void {
    const old = inNetns(this.#netns, () => {
      const value = readFileSync(file, 'utf8').trim()
      if (value !== logger) writeFileSync(file, logger)
      return value
    })
    if (old !== logger) this.#loggers.set(file, old)
  }

  /** Calls `onReadable` when there is something to drain(). */
  watch(onReadable: () => void): void {
    this.#socket.watch(onReadable)
  }

  /** Hands over the lines that are queued now, those of at most `limit` reads. */
  drain(name: (index: number) => string, onTrace: (trace: LegacyTrace) => void, limit?: number): void {
    this.#socket.drain((type, body) => {
      const trace = decodeLegacyTrace(type, body, name, this.#walks)
      if (trace) onTrace(trace)
    }, limit)
  }

  takeLost(): number {
    return this.#socket.takeLost()
  }

  /** The loggers are as they were before. */
  close(): void {
    for (const [file, old] of this.#loggers) inNetns(this.#netns, () => writeFileSync(file, old))
    this.#loggers.clear()
    this.#socket.close()
  }
}

/** Tells which lines are of one walk: legacy lines have no id, but each has its packet. Processors' lines can be mixed. */
export class Walks {
  readonly #open = new Map<string, { id: string; at: number }>()
  /** A later collector's walks in the same file have other ids. */
  readonly #prefix = randomBytes(4).toString('hex')
  #last = 0

  /** @returns the walk's id, and whether this is its first line. @param now milliseconds */
  line(packet: string, isEnd: boolean, now: number): { id: string; isFirst: boolean } {
    const open = this.#open.get(packet)
    // A walk that a verdict ended has no line that says so: the same packet sent once more is a new walk.
    const isFirst = open === undefined || now - open.at > 100
    const id = isFirst ? `${this.#prefix}-${(++this.#last).toString(16)}` : open.id
    this.#open.delete(packet)
    if (!isEnd) this.#open.set(packet, { id, at: now })
    if (this.#open.size > 1000) this.#open.delete(this.#open.keys().next().value!)
    return { id, isFirst }
  }
}

/** Decodes one nflog message (behind the netlink header); undefined when it is no trace. `name` turns an interface index into its name. */
export function decodeLegacyTrace(
  type: number,
  body: Buffer,
  name: (index: number) => string,
  walks: Walks,
  now = performance.now(),
): LegacyTrace | undefined {
  if (type !== NFULNL_MSG_PACKET || body.length < 4) return undefined
  const a = attributes(body, 4)
  // Other programs' rules (-j NFLOG, -j LOG) come to group 0 too.
  const [, table, chain, kind, number] = prefix.exec(text(a.get(PREFIX)) ?? '') ?? []
  const payload = a.get(PAYLOAD)
  if (table === undefined || chain === undefined || payload === undefined || payload.length < 20) return undefined
  const family = payload[0]! >> 4 === 6 ? 'ip6' : 'ip'
  const nhLength = family === 'ip6' ? 40 : (payload[0]! & 15) * 4
  const nh = payload.subarray(0, nhLength)
  const th = payload.subarray(nhLength, nhLength + 20)
  // What no rule of a walk changes: addresses, IP id, protocol; ports and sequence number.
  const fixed = family === 'ip6' ? nh.subarray(6) : Buffer.concat([nh.subarray(4, 6), nh.subarray(9, 10), nh.subarray(12, 20)])
  const hook = a.get(PACKET_HDR)?.[2] ?? 0
  const packet = `${family} ${table} ${hook} ${fixed.toString('hex')} ${th.toString('hex', 0, 8)}`
  const { id, isFirst } = walks.line(packet, kind === 'policy', now)
  const iif = be32(a.get(INDEV))
  const oif = be32(a.get(OUTDEV))
  return {
    backend: 'legacy',
    traceId: id,
    family,
    table,
    chain,
    type: kind as Trace['type'],
    number: Number(number),
    verdict: kind === 'return' ? 'return' : 'unknown',
    // No attribute: no mark.
    mark: be32(a.get(MARK)) ?? 0,
    ...(isFirst && iif !== undefined ? { iif: name(iif) } : {}),
    ...(isFirst && oif !== undefined ? { oif: name(oif) } : {}),
    ...(isFirst ? { nh: nh.toString('hex'), th: th.toString('hex') } : {}),
  }
}
