import type { Observation } from '../observation.ts'

/** Observations that happened at a time (not those of a snapshot). */
export type Timed = Extract<Observation, { t: number }>

/** The observations that can have this kind. */
export type OfKind<K extends Observation['kind'], O extends Observation = Observation> = O extends Observation
  ? K extends O['kind']
    ? O & { readonly kind: K }
    : never
  : never

/** Finds observations by place, flow, kind, time and ref. Lists are in the order of time; those of the same time in the order that they were given. */
export class ObservationIndex {
  readonly #kinds = new Map<Observation['kind'], Observation[]>()
  readonly #places = new Map<string, Timed[]>()
  readonly #flows = new Map<string, Timed[]>()
  readonly #refs = new Map<string, Observation[]>()

  constructor(observations: Iterable<Observation>) {
    for (const observation of observations) {
      append(this.#kinds, observation.kind, observation)
      append(this.#refs, observation.ref, observation)
      if (!('t' in observation)) continue
      append(this.#places, `${observation.node}/${observation.netns}`, observation)
      for (const flow of flowsOf(observation)) append(this.#flows, flow, observation)
    }
    for (const list of [...this.#places.values(), ...this.#flows.values()]) list.sort((a, b) => a.t - b.t)
    for (const list of this.#kinds.values()) if (list[0] && 't' in list[0]) (list as Timed[]).sort((a, b) => a.t - b.t)
  }

  /** All of one kind. */
  kind<K extends Observation['kind']>(kind: K): readonly OfKind<K>[] {
    return (this.#kinds.get(kind) ?? []) as unknown as OfKind<K>[]
  }

  /** Everything in one network namespace. */
  at(node: string, netns: string): readonly Timed[] {
    return this.#places.get(`${node}/${netns}`) ?? []
  }

  /** Everything between two endpoints, in either direction, anywhere: packets, traces, conntrack events of either tuple, sockets, served requests. */
  flow(one: string, other: string): readonly Timed[] {
    return this.#flows.get(flowKey(one, other)) ?? []
  }

  /** What a ref points at: a packet can be a marker too. */
  ref(ref: string): readonly Observation[] {
    return this.#refs.get(ref) ?? []
  }
}

/** The part of a list in the order of time from `from` to `to`, both inclusive, microseconds. */
export function between<T extends { readonly t: number }>(list: readonly T[], from: number, to: number): T[] {
  return list.slice(
    firstFrom(list, (t) => t >= from),
    firstFrom(list, (t) => t > to),
  )
}

function firstFrom(list: readonly { readonly t: number }[], reached: (t: number) => boolean): number {
  let low = 0
  let high = list.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (reached(list[middle]!.t)) high = middle
    else low = middle + 1
  }
  return low
}

function append<K, V>(map: Map<K, V[]>, key: K, value: V): void {
  const list = map.get(key)
  if (list) list.push(value)
  else map.set(key, [value])
}

function flowKey(one: string, other: string): string {
  return one < other ? `${one} ${other}` : `${other} ${one}`
}

function flowsOf(observation: Timed): Iterable<string> {
  switch (observation.kind) {
    case 'packet':
    case 'trace':
      return observation.from === '' ? [] : [flowKey(observation.from, observation.to)]
    case 'conntrack':
      return new Set([flowKey(observation.orig.from, observation.orig.to), flowKey(observation.reply.from, observation.reply.to)])
    case 'socket':
    case 'served':
      return [flowKey(observation.local, observation.peer)]
    default:
      return []
  }
}
