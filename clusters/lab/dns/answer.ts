import packet, { type Answer, type DecodedPacket, type OptAnswer, type Packet, type Question } from 'dns-packet'
import { clusterDomain, ttl, type Zone } from './zone.ts'

/** Largest UDP answer to a client that says nothing (RFC 1035), and the most that is sent to one that allows more (DNS flag day 2020). */
const plainLimit = 512
const mostBytes = 1232

const noError = 0
const formatError = 1
const nameError = 3
const notImplemented = 4
const refused = 5

const soa: Answer = {
  name: clusterDomain,
  type: 'SOA',
  ttl,
  data: {
    mname: `ns.dns.${clusterDomain}`,
    rname: `hostmaster.${clusterDomain}`,
    serial: 1,
    refresh: 7200,
    retry: 1800,
    expire: 86400,
    minimum: ttl,
  },
}

/**
 * The answer to one DNS message.
 * @param transport over UDP an answer that is too long is cut and marked as truncated
 * @returns undefined if there is nobody to answer: no message, or itself an answer
 */
export function answerMessage(message: Buffer, zone: Zone, transport: 'udp' | 'tcp'): Buffer | undefined {
  if (message.length < 12 || (message.readUInt8(2) & 0x80) !== 0) return undefined
  let query: DecodedPacket
  try {
    query = packet.decode(message)
  } catch {
    return packet.encode({ type: 'response', id: message.readUInt16BE(0), flags: formatError })
  }
  const asked = query.additionals?.find((a): a is OptAnswer => a.type === 'OPT')
  const opt: Answer[] = asked ? [{ type: 'OPT', name: '.', udpPayloadSize: mostBytes, flags: 0, options: [] } as unknown as Answer] : []
  const flags = (query.flags ?? 0) & packet.RECURSION_DESIRED
  const base: Packet = { type: 'response', id: query.id ?? 0, questions: query.questions ?? [], additionals: opt }
  const [question] = query.questions ?? []
  const finish = (rcode: number, authoritative: boolean, sections: Partial<Packet> = {}) =>
    ({ ...base, ...sections, flags: flags | rcode | (authoritative ? packet.AUTHORITATIVE_ANSWER : 0) }) satisfies Packet
  let response: Packet
  if (((query.flags ?? 0) & 0x7800) !== 0) response = finish(notImplemented, false)
  else if (!question || query.questions?.length !== 1) response = finish(formatError, false)
  else {
    const found = lookUp(question, zone)
    if (found === 'refused') response = finish(refused, false)
    else if (found === 'no such name') response = finish(nameError, true, { authorities: [soa] })
    else if (found.answers.length === 0) response = finish(noError, true, { authorities: [soa] })
    else response = finish(noError, true, { answers: found.answers, additionals: [...found.additionals, ...opt] })
  }
  const encoded = packet.encode(response)
  const limit = asked ? Math.min(Math.max(asked.udpPayloadSize, plainLimit), mostBytes) : plainLimit
  if (transport === 'tcp' || encoded.length <= limit) return encoded
  // Extra records go first and silently; answers that are missing are said to be.
  const lean = packet.encode({ ...response, additionals: opt })
  if (lean.length <= limit) return lean
  const answers = [...(response.answers ?? [])]
  for (;;) {
    answers.pop()
    const cut = packet.encode({ ...response, answers, additionals: opt, flags: (response.flags ?? 0) | packet.TRUNCATED_RESPONSE })
    if (cut.length <= limit || answers.length === 0) return cut
  }
}

function lookUp(question: Question, zone: Zone): { answers: Answer[]; additionals: Answer[] } | 'no such name' | 'refused' {
  const name = question.name.toLowerCase().replace(/\.$/, '')
  const type = question.type as string
  if (name === clusterDomain) {
    const apex = { SOA: [soa], NS: [{ name: clusterDomain, type: 'NS', ttl, data: `ns.dns.${clusterDomain}` } as Answer] }[type]
    return { answers: apex ?? [], additionals: [] }
  }
  const inside = name.endsWith(`.${clusterDomain}`) || /\.(in-addr|ip6)\.arpa$/.test(name)
  // There is no world outside a lab, and no server to ask about it.
  if (!inside) return 'refused'
  const entry = zone.get(name) ?? podEntry(name, zone)
  if (!entry) return 'no such name'
  const records = (owner: string, addresses: readonly string[]): Answer[] =>
    addresses.map((data) => ({ name: owner, type: 'A', ttl, data }))
  switch (type) {
    case 'A':
      return { answers: rotated(records(question.name, entry.a)), additionals: [] }
    case 'SRV':
      return {
        answers: entry.srv.map((data) => ({ name: question.name, type: 'SRV', ttl, data: { ...data, priority: 0, weight: 100 } })),
        additionals: [...new Set(entry.srv.map((s) => s.target))].flatMap((target) => records(target, zone.get(target)?.a ?? [])),
      }
    case 'PTR':
      return { answers: entry.ptr.map((data) => ({ name: question.name, type: 'PTR', ttl, data })), additionals: [] }
    default:
      return { answers: [], additionals: [] }
  }
}

/** `10-244-1-5.demo.pod.cluster.local`: the address in the name, if the namespace is there (CoreDNS `pods insecure`). */
function podEntry(name: string, zone: Zone) {
  const found = /^(\d{1,3})-(\d{1,3})-(\d{1,3})-(\d{1,3})\.([^.]+\.pod\..*)$/.exec(name)
  if (!found || !zone.has(found[5] ?? '')) return undefined
  const bytes = found.slice(1, 5)
  return bytes.every((b) => Number(b) <= 255) ? { a: [bytes.map(Number).join('.')], srv: [], ptr: [] } : undefined
}

let turn = 0

/** Each answer starts with another record, so that clients that take the first spread over all (CoreDNS `loadbalance`). */
function rotated<T>(list: T[]): T[] {
  if (list.length < 2) return list
  const first = turn++ % list.length
  return [...list.slice(first), ...list.slice(0, first)]
}
