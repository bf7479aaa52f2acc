import type { ReportCase, ReportHop, ReportLeg } from '../../report.ts'

/** A stop on the way of a request: a process, a device that it passes, or the rules of a namespace between. */
export interface Station {
  readonly kind: 'process' | 'device' | 'rules'
  readonly label: string
  readonly node: string
  readonly netns: string
  readonly dev?: string
}

/** A hop with its number in the path (from 1) and where it stands. */
export interface PlacedHop {
  readonly number: number
  readonly hop: ReportHop
  readonly leg: number
  readonly station: number
}

export interface Span {
  readonly from: number
  readonly to: number
}

/** Stations that share a namespace or a node. */
export interface Box extends Span {
  readonly node: string
  /** Of a node's box: none. */
  readonly netns?: string
}

/** The path of a case as one line of stations, in the order in which the request passes them. */
export interface Line {
  readonly stations: readonly Station[]
  readonly legs: readonly Span[]
  readonly hops: readonly PlacedHop[]
  readonly pods: readonly Box[]
  readonly nodes: readonly Box[]
}

interface Vantage {
  readonly node: string
  readonly netns: string
  readonly dev?: string
}

export function vantageOf(text: string): Vantage {
  const [node = '', netns = '', dev] = text.split('/')
  return { node, netns, ...(dev ? { dev } : {}) }
}

const same = (a: Vantage, b: Vantage) => a.node === b.node && a.netns === b.netns && a.dev === b.dev
const sameNetns = (a: Vantage, b: Vantage) => a.node === b.node && a.netns === b.netns

export function lineOf(c: Pick<ReportCase, 'legs'>): Line {
  const stations: Station[] = []
  const legs: Span[] = []
  const hops: PlacedHop[] = []
  for (const [index, leg] of c.legs.entries()) {
    const first = leg.hops[0]
    if (!first) continue
    const start = vantageOf(first.vantage)
    const [fromRole, toRole] = rolesOf(leg)
    const before = stations.at(-1)
    const joined = before?.kind === 'process' && before.label === fromRole && sameNetns(before, start)
    if (!joined) stations.push({ kind: 'process', label: fromRole, node: start.node, netns: start.netns })
    const from = stations.length - 1
    const end = endOf(leg, start)
    const placed: [ReportHop, number | 'end'][] = leg.hops.map((hop) => {
      const at = vantageOf(hop.vantage)
      if (!at.dev) {
        // Inside one namespace, what comes after its devices is at the far end.
        const atStart = sameNetns(at, start) && (!sameNetns(start, end) || stations.length - 1 === from)
        if (atStart) return [hop, from]
        if (sameNetns(at, end)) return [hop, 'end']
      }
      const known = stations.findIndex((s, i) => i > from && same(s, at))
      if (known >= 0) return [hop, known]
      const { node, netns, dev } = at
      return [
        hop,
        stations.push(
          dev ? { kind: 'device', label: deviceLabel(dev), node, netns, dev } : { kind: 'rules', label: 'rules', node, netns },
        ) - 1,
      ]
    })
    const to = stations.push({ kind: 'process', label: toRole, node: end.node, netns: end.netns }) - 1
    legs.push({ from, to })
    for (const [hop, station] of placed) hops.push({ number: hops.length + 1, hop, leg: index, station: station === 'end' ? to : station })
  }
  return { stations, legs, hops, pods: boxes(stations, (s) => s.netns, true), nodes: boxes(stations, () => '', false) }
}

/** `app → ztunnel (…)`: who speaks at both ends. Apps are apps, however their leg calls them. */
function rolesOf(leg: ReportLeg): [string, string] {
  const [from = '', to = ''] = leg.title.replace(/ \([^)]*\)$/, '').split(' → ')
  const role = (name: string) => (/^(app|client|server)\b/.test(name) ? 'app' : name || 'app')
  return [role(from), to === 'itself' ? role(from) : role(to)]
}

/** Where a leg ends: the namespace of the last device that it passes. */
function endOf(leg: ReportLeg, start: Vantage): Vantage {
  const devices = leg.hops.map((h) => vantageOf(h.vantage)).filter((v) => v.dev)
  const order = devices.filter((v, i) => devices.findIndex((d) => same(d, v)) === i)
  const last = order.at(-1)
  return last ? { node: last.node, netns: last.netns } : start
}

const deviceLabel = (dev: string) => (/^veth/.test(dev) ? 'veth' : dev)

function boxes(stations: readonly Station[], keyOf: (s: Station) => string, withNetns: boolean): Box[] {
  const found: { from: number; to: number; node: string; netns?: string }[] = []
  for (const [i, s] of stations.entries()) {
    const last = found.at(-1)
    const before = stations[i - 1]
    if (last && before && before.node === s.node && keyOf(before) === keyOf(s)) last.to = i
    else found.push({ from: i, to: i, node: s.node, ...(withNetns ? { netns: s.netns } : {}) })
  }
  return found
}
