import type { Observation, PacketObservation } from '../evidence/observation.ts'
import type { ProofVerdict } from '../judge/verdict.ts'

/** What a proof rests on, in words; `rule`: the kernel's or ztunnel's own text that it shows. */
export interface Fact {
  readonly status: ProofVerdict['status']
  /** When it was seen, milliseconds after the client began; absent: it is state, or nothing was seen. */
  readonly atMs?: number
  readonly text: string
  readonly rule?: string
  /** Pointer into the bundle. */
  readonly ref?: string
}

/** @param startedAt the request's begin, microseconds of wall clock */
export function factOf(proof: ProofVerdict, seen: (ref: string) => Observation | undefined, startedAt: number): Fact {
  const observation = proof.ref === undefined ? undefined : seen(proof.ref)
  const common = {
    status: proof.status,
    ...(proof.ref === undefined ? {} : { ref: proof.ref }),
    ...(observation && 't' in observation ? { atMs: (observation.t - startedAt) / 1000 } : {}),
  }
  if (proof.status === 'missing') return { ...common, text: `not seen: ${proof.expected}` }
  const what = observation && wordsOf(observation, proof)
  if (proof.status === 'contradicted') {
    const instead = `expected: ${proof.expected}; seen instead: ${proof.seen ?? 'something else'}`
    return { ...common, text: instead, ...(what?.rule ? { rule: what.rule } : {}) }
  }
  return { ...common, ...(what ?? { text: proof.expected }) }
}

const hex = (mark: number) => `0x${mark.toString(16)}`

/** What each kind of proof is read from. Others rest on several observations, or on none: what they say no single one shows. */
const KINDS: Readonly<Record<string, readonly Observation['kind'][]>> = {
  packet: ['packet'],
  trace: ['trace'],
  conntrack: ['conntrack'],
  socket: ['socket'],
  log: ['ztunnel-log'],
  served: ['served'],
  route: ['policy-rule', 'route'],
}

function wordsOf(o: Observation, proof: ProofVerdict): { text: string; rule?: string } {
  if (!KINDS[proof.kind]?.includes(o.kind)) return { text: proof.expected }
  switch (o.kind) {
    case 'packet':
      return { text: packetWords(o) }
    case 'trace': {
      const mark = o.mark === 0 ? 'no mark' : `mark ${hex(o.mark)}`
      const packet = `${o.flags === 'S' ? 'the first packet' : o.flags === 'SA' ? 'its answer' : 'a packet'} ${o.from} → ${o.to}`
      if (o.type === 'policy') return { text: `${packet} meets no rule that changes it in ${o.table} ${o.chain} (${mark})` }
      return { text: `${packet} meets, in ${o.table} ${o.chain}, the rule below; ${mark} after it`, ...(o.rule ? { rule: o.rule } : {}) }
    }
    case 'conntrack':
      return {
        text: `the kernel tracks ${o.orig.from} → ${o.orig.to}, answered by ${o.reply.from} → ${o.reply.to}, with connection mark ${hex(o.mark)}`,
      }
    case 'socket':
      return { text: `a socket ${o.local} ↔ ${o.peer} with mark ${hex(o.mark)}` }
    case 'ztunnel-log': {
      const told = [
        ...['error', 'direction', 'src.addr', 'dst.addr', 'dst.hbone_addr', 'src.identity', 'dst.identity'],
        ...['src.workload', 'query', 'domain', 'result'].filter(() => o.target === 'dns'),
      ]
      return {
        text: `ztunnel on node ${o.node} ${o.target === 'dns' ? 'tells of a question for a name' : `logs "${o.message}"`}`,
        rule: told.flatMap((key) => (o.fields[key] === undefined ? [] : [`${key}=${o.fields[key]}`])).join(' '),
      }
    }
    case 'served':
      return { text: `the server at ${o.local} sees its peer as ${o.peer}, and the token` }
    case 'policy-rule':
    case 'route':
      return { text: 'the routing rule and route that were there before the request (computed, not seen)', rule: o.line }
    default:
      return { text: proof.expected }
  }
}

const FLAGS: Readonly<Record<string, string>> = { S: 'the first packet (SYN)', SA: 'the answer to it (SYN-ACK)' }

function packetWords(p: PacketObservation): string {
  const { tunnel } = p
  if (tunnel) {
    const header = tunnel.header === 'geneve' ? 'GENEVE' : 'VXLAN'
    const inside = `${FLAGS[tunnel.flags] ?? 'a packet'} ${tunnel.from} → ${tunnel.to}`
    return `a datagram ${p.from} → ${p.to} ${p.direction === 'in' ? 'comes in' : 'goes out'}; in it, by its ${header} header of network ${tunnel.vni}, ${inside}`
  }
  const what = FLAGS[p.flags] ?? (p.payloadLength > 0 ? `a packet with ${p.payloadLength} bytes` : `a packet [${p.flags}]`)
  return `${what} ${p.from} → ${p.to} ${p.direction === 'in' ? 'comes in' : 'goes out'}`
}
