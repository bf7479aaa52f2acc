import type {
  ConntrackObservation,
  EventObservation,
  LoadAnswerObservation,
  LoadEndObservation,
  LossObservation,
  MarkerObservation,
  Observation,
  PacketObservation,
  RuleObservation,
  ServedObservation,
  SightingObservation,
  SocketObservation,
  StateObservation,
  TraceObservation,
  ZtunnelLogObservation,
} from '../evidence/observation.ts'
import type { Netns } from '../modes/path.ts'

/** A span of wall-clock time, microseconds. */
export interface Window {
  readonly from: number
  readonly to: number
}

interface ByKind {
  packet: PacketObservation
  trace: TraceObservation
  conntrack: ConntrackObservation
  socket: SocketObservation
  'ztunnel-log': ZtunnelLogObservation
  served: ServedObservation
  marker: MarkerObservation
  loss: LossObservation
  'load-answer': LoadAnswerObservation
  'load-end': LoadEndObservation
  sighting: SightingObservation
  event: EventObservation
}
/** A line of a snapshot. */
export type Dumped = StateObservation | RuleObservation
const isDumped = (o: Observation): o is Dumped =>
  o.kind === 'rule' || o.kind === 'policy-rule' || o.kind === 'route' || o.kind === 'link' || o.kind === 'settings'

type Timed = ByKind[keyof ByKind]

/** The observations of a bundle, ordered in time, by kind and place: what the judge asks. */
export class Evidence {
  readonly #places = new Map<string, Timed[]>()
  readonly #state = new Map<string, StateObservation[]>()
  readonly #dumps = new Map<string, Dumped[]>()

  constructor(observations: Iterable<Observation>) {
    for (const o of observations) {
      if (isDumped(o)) {
        const key = `${o.node}/${o.netns}`
        const list = this.#dumps.get(key)
        if (list) list.push(o)
        else this.#dumps.set(key, [o])
      }
      if (o.kind === 'policy-rule' || o.kind === 'route') {
        const key = `${o.node}/${o.netns}`
        const list = this.#state.get(key)
        if (list) list.push(o)
        else this.#state.set(key, [o])
      }
      if (!('t' in o)) continue
      for (const key of [`${o.kind} ${o.node}/${o.netns}`, `${o.kind} ${o.node}`, o.kind]) {
        const list = this.#places.get(key)
        if (list) list.push(o)
        else this.#places.set(key, [o])
      }
    }
    for (const list of this.#places.values()) list.sort((a, b) => a.t - b.t)
  }

  /** Observations of one kind in a window, oldest first: in one namespace, on one node, or everywhere. */
  in<K extends keyof ByKind>(kind: K, where: Netns | { readonly node: string } | undefined, window: Window): ByKind[K][] {
    const key = !where ? kind : 'netns' in where ? `${kind} ${where.node}/${where.netns}` : `${kind} ${where.node}`
    const list = this.#places.get(key) ?? []
    return list.slice(firstAtOrAfter(list, window.from), firstAtOrAfter(list, window.to + 1)) as ByKind[K][]
  }

  /** Policy rules and routes of a namespace (IPv4), as the first snapshot of the run has them. */
  state({ node, netns }: Netns): readonly StateObservation[] {
    return (this.#state.get(`${node}/${netns}`) ?? []).filter((o) => o.family === 'ip' && o.snapshot === 'before')
  }

  /** What all snapshots tell of a namespace's network. */
  dumps({ node, netns }: Netns): readonly Dumped[] {
    return this.#dumps.get(`${node}/${netns}`) ?? []
  }

  all<K extends keyof ByKind>(kind: K): readonly ByKind[K][] {
    return (this.#places.get(kind) ?? []) as ByKind[K][]
  }
}

function firstAtOrAfter(list: readonly Timed[], t: number): number {
  let low = 0
  let high = list.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (list[middle]!.t < t) low = middle + 1
    else high = middle
  }
  return low
}
