import type { ListenerObservation, StateObservation } from '../observation.ts'
import { EvidenceError, takeAgain } from './error.ts'
import { excerpt } from './jsonl.ts'

/** Where and in which snapshot a dump was taken. */
export interface Taken {
  readonly node: string
  readonly netns: string
  readonly snapshot: string
}

function squeeze(line: string): string {
  return line.trim().replaceAll(/\s+/g, ' ')
}

/** Non-empty lines with their numbers; lines that begin with `#` are remarks. */
function linesOf(text: string): { line: string; number: number }[] {
  return text
    .split('\n')
    .map((raw, index) => ({ line: squeeze(raw), number: index + 1 }))
    .filter(({ line }) => line !== '' && !line.startsWith('#'))
}

/** `ip rule` or `ip -6 rule`. */
export function parsePolicyRules(text: string, file: string, taken: Taken, family: 'ip' | 'ip6'): StateObservation[] {
  return linesOf(text).map(({ line, number }) => {
    if (!/^\d+: \S/.test(line)) throw new EvidenceError(file, `line ${number}`, `no policy rule: ${excerpt(line)}`, takeAgain)
    return { kind: 'policy-rule', ref: `${file}#L${number}`, ...taken, family, line }
  })
}

/** `ip route show table all` or `ip -6 …`; continuation lines of multipath routes are joined to theirs. */
export function parseRoutes(text: string, file: string, taken: Taken, family: 'ip' | 'ip6'): StateObservation[] {
  const routes: { line: string; number: number }[] = []
  for (const { line, number } of linesOf(text)) {
    const last = routes.at(-1)
    if (line.startsWith('nexthop ') && last) last.line += ` ${line}`
    else routes.push({ line, number })
  }
  return routes.map(({ line, number }) => ({ kind: 'route', ref: `${file}#L${number}`, ...taken, family, line }))
}

/** `links.txt`: devices. */
export function parseLinks(text: string, file: string, taken: Taken): StateObservation[] {
  return linesOf(text).map(({ line, number }) => {
    if (!/^\d+: \S/.test(line)) throw new EvidenceError(file, `line ${number}`, `no device: ${excerpt(line)}`, takeAgain)
    return { kind: 'link', ref: `${file}#L${number}`, ...taken, family: 'ip', line }
  })
}

/** `settings.txt`: one observation, since it is only ever looked at as a whole. */
export function parseSettings(text: string, file: string, taken: Taken): StateObservation[] {
  const lines = linesOf(text)
  for (const { line, number } of lines)
    if (!/^net\.\S+ = /.test(line)) throw new EvidenceError(file, `line ${number}`, `no setting: ${excerpt(line)}`, takeAgain)
  if (lines.length === 0) return []
  return [{ kind: 'settings', ref: file, ...taken, family: 'ip', line: lines.map(({ line }) => line).join('\n') }]
}

/** `ipset list`: its members. */
export function parseSets(text: string, file: string, taken: Taken): StateObservation[] {
  const found: StateObservation[] = []
  let set: string | undefined
  let family: 'ip' | 'ip6' = 'ip'
  let members = false
  for (const { line, number } of linesOf(text)) {
    const [, key, value = ''] =
      /^(Name|Type|Revision|Header|Size in memory|References|Number of entries|Members):(?: (.*))?$/.exec(line) ?? []
    if (key === 'Name') {
      set = value
      family = 'ip'
      members = false
    } else if (key === 'Header') family = value.includes('family inet6') ? 'ip6' : 'ip'
    else if (key === 'Members') members = true
    else if (!key) {
      if (set === undefined || !members) throw new EvidenceError(file, `line ${number}`, `not of an ipset: ${excerpt(line)}`, takeAgain)
      found.push({ kind: 'set-member', ref: `${file}#L${number}`, ...taken, family, set, line })
    }
  }
  return found
}

const SOCKET = /^(?:(tcp|udp) )?(LISTEN|UNCONN) \d+ \d+ (\S+:(?:\d+|\*)) (\S+)(?: (.*))?$/

/**
 * `ss` with `-l`, `-n`, `-e` for TCP and UDP: what listens or is bound, with its mark (no `fwmark:` in the line: 0). Without `-u` ss leaves the first column away: TCP.
 * Sockets in other states are left out.
 */
export function parseListeners(text: string, file: string, taken: Taken): ListenerObservation[] {
  const found: ListenerObservation[] = []
  for (const { line, number } of linesOf(text)) {
    if (/^(Netid )?State Recv-Q/.test(line)) continue
    const match = SOCKET.exec(line)
    if (!match) {
      if (/^(?:\S+ )?[A-Z][A-Z0-9-]+ \d+ \d+ /.test(line)) continue
      throw new EvidenceError(file, `line ${number}`, `no line of ss: ${excerpt(line)}`, takeAgain)
    }
    const mark = /(?:^| )fwmark:(0x[0-9a-f]+)/.exec(match[5] ?? '')
    const protocol = match[1] === 'udp' || match[2] === 'UNCONN' ? 'udp' : 'tcp'
    found.push({ kind: 'listener', ref: `${file}#L${number}`, ...taken, protocol, local: match[3]!, mark: Number(mark?.[1] ?? 0) })
  }
  return found
}
