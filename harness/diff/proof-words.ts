import type { Expectation } from '../judge/expectation.ts'
import type { Proof } from '../modes/path.ts'

/** What a proof asks for, with names for the addresses and devices of the run, so that two runs' can be compared. */
export function expectedOf(proof: Proof, e: Expectation): string {
  return named(words(proof), e)
}

function words(p: Proof): string {
  const at = 'dev' in p ? `${p.netns}/${p.dev}` : p.netns
  switch (p.kind) {
    case 'packet':
      return `${p.which} ${p.from} → ${p.to} ${p.direction} at ${at}`
    case 'trace':
      return `${p.which} ${p.from} → ${p.to} meets ${'rule' in p.meets ? `"${p.meets.rule}"` : `policy ${p.meets.policy}`} in ${p.table} ${p.chain} of ${at}, mark 0x${p.mark.toString(16)}`
    case 'conntrack':
      return `connection ${p.orig.from} → ${p.orig.to}, answered ${p.reply.from} → ${p.reply.to}, mark 0x${p.mark.toString(16)} in ${at}`
    case 'socket':
      return `socket ${p.local} ↔ ${p.peer}, mark 0x${p.mark.toString(16)} in ${at}`
    case 'log':
      return `ztunnel ${p.target === 'dns' ? 'tells of a question' : `logs "${p.message}"`} with ${Object.entries(p.fields)
        .map(([k, v]) => `${k}=${v}`)
        .join(' ')}${p.without.length > 0 ? `, without ${p.without.join(', ')}` : ''}`
    case 'served':
      return `the server at ${p.local} sees ${p.peer}`
    case 'token':
      return `the token is ${p.row === 'clear' ? 'readable' : 'not readable'} at ${at}${p.backward ? ', both ways' : ''}`
    case 'route':
      return `rule "${p.rule}" and route "${p.route}" in ${at}`
    case 'order':
      return `${p.order.replaceAll('-', ' ')} at ${at}`
    case 'untouched':
      return `nothing of a mesh in ${at}`
    case 'silence':
      return `ztunnel on the node of ${at} tells of nothing from ${p.end}`
    default:
      return JSON.stringify(p)
  }
}

function named(text: string, { client, server, destination, endpoint }: Expectation): string {
  const names: [string, string][] = [
    [destination, destination === endpoint ? 'SERVER:PORT' : 'SERVICE:PORT'],
    [endpoint, 'SERVER:PORT'],
    [client.netns, client.netns === 'node' ? 'node' : 'CLIENT'],
    [server.netns, 'SERVER'],
    [client.veth, 'CLIENT-CABLE'],
    [server.veth, 'SERVER-CABLE'],
    [client.ip, 'CLIENT'],
    [server.ip, 'SERVER'],
    [server.gateway, 'NODE'],
  ]
  // Whole words only: 10.244.1.1 is no part of 10.244.1.12.
  return names.reduce(
    (all, [from, to]) =>
      from ? all.replaceAll(new RegExp(`(?<![\\w.])${from.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&')}(?![\\w.])`, 'g'), to) : all,
    text,
  )
}
