import type { Observation } from '../evidence/observation.ts'

/** enum ip_conntrack_status (uapi linux/netfilter/nf_conntrack_common.h): the bits that tell a reader something. */
const status: readonly (readonly [bit: number, word: string])[] = [
  [1 << 0, 'expected'],
  [1 << 1, 'reply seen'],
  [1 << 2, 'assured'],
  [1 << 3, 'confirmed'],
  [1 << 4, 'source translated'],
  [1 << 5, 'destination translated'],
  [1 << 9, 'dying'],
]

type Other = Exclude<Observation, { kind: 'packet' | 'trace' }>

/** An observation as named fields, the telling ones first. */
export function fieldsOf(o: Other): Record<string, string> {
  switch (o.kind) {
    case 'conntrack':
      return {
        event: o.event,
        protocol: o.protocol,
        original: `${o.orig.from} → ${o.orig.to}`,
        answered: `${o.reply.from} → ${o.reply.to}`,
        'connection mark': hex(o.mark),
        zone: `${o.zone}`,
        status: status
          .filter(([bit]) => o.status & bit)
          .map(([, word]) => word)
          .join(', '),
      }
    case 'socket':
      return { local: o.local, peer: o.peer, mark: hex(o.mark), ...(o.uid >= 0 ? { uid: `${o.uid}` } : {}) }
    case 'ztunnel-log':
      return { level: o.level, target: o.target, message: o.message, ...o.fields }
    case 'served':
      return { protocol: o.protocol, 'peer, as the server’s socket has it': o.peer, local: o.local, body: o.body }
    case 'load-end':
      return { load: o.load, requests: `${o.sent}`, took: milliseconds(o) }
    case 'load-answer':
      return {
        load: o.load,
        number: `${o.seq}`,
        token: o.token,
        ...(o.connection === undefined ? {} : { connection: `${o.connection}` }),
        outcome: o.ok ? 'answered' : (o.error ?? 'not answered'),
        after: milliseconds(o),
      }
    case 'policy-rule':
    case 'route':
    case 'set-member':
    case 'link':
    case 'settings':
      return { ...(o.set ? { set: o.set } : {}), line: o.line, snapshot: o.snapshot }
    default:
      return plain(o)
  }
}

/** What has no words of its own here: its values by their names. */
function plain(o: Other): Record<string, string> {
  const { kind: _, ref: __, node: ___, netns: ____, ...rest } = o as unknown as Record<string, unknown>
  return Object.fromEntries(
    Object.entries(rest)
      .filter(([name]) => name !== 't')
      .map(([name, value]) => [
        name,
        name === 'mark' ? hex(value as number) : typeof value === 'object' ? JSON.stringify(value) : String(value),
      ]),
  )
}

const milliseconds = (o: { startedAt: number; endedAt: number }) => `${(o.endedAt - o.startedAt).toFixed(1)} ms`
const hex = (n: number) => `0x${n.toString(16)}`
