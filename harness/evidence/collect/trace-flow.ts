import { endpointText } from './address.ts'
import { traceTable } from './trace-rules.ts'
import type { Trace } from './traces.ts'

/** The flow of a packet that our own rules chose to trace, as it came there: before any other rule. */
export interface TracedFlow {
  readonly family: 'ip' | 'ip6'
  readonly protocol: 'tcp' | 'udp'
  /** Bytes of both addresses, source first. */
  readonly addresses: Buffer
  /** Bytes of both ports, source first. */
  readonly ports: Buffer
  readonly from: string
  readonly to: string
  readonly isSyn: boolean
}

const protocols: Readonly<Record<number, TracedFlow['protocol']>> = { 6: 'tcp', 17: 'udp' }
const SYN = 0x02

/** @returns undefined: no first line of a walk through our own rules, or neither TCP nor UDP */
export function tracedFlow({ table, nh, th }: Trace): TracedFlow | undefined {
  if (table !== traceTable || nh === undefined || th === undefined) return undefined
  const network = Buffer.from(nh, 'hex')
  const transport = Buffer.from(th, 'hex')
  const isV6 = network[0]! >> 4 === 6
  const protocol = protocols[(isV6 ? network[6] : network[9])!]
  if (protocol === undefined || transport.length < (protocol === 'tcp' ? 20 : 8)) return undefined
  const addresses = isV6 ? network.subarray(8, 40) : network.subarray(12, 20)
  const half = addresses.length / 2
  return {
    family: isV6 ? 'ip6' : 'ip',
    protocol,
    addresses,
    ports: transport.subarray(0, 4),
    from: endpointText(addresses.subarray(0, half), transport.readUInt16BE(0)),
    to: endpointText(addresses.subarray(half), transport.readUInt16BE(2)),
    isSyn: protocol === 'tcp' && (transport[13]! & SYN) !== 0,
  }
}
