import type { Observation } from '../observation.ts'

/** Observations that happened at a time (not those of a snapshot). */
export type Timed = Extract<Observation, { t: number }>

/** The observations that can have this kind. */
export type OfKind<K extends Observation['kind'], O extends Observation = Observation> = O extends Observation
  ? K extends O['kind']
    ? O & { readonly kind: K }
    : never
  : never

/** Finds observations by place, flow, kind, time and ref; each table is made when it is first asked. Lists are in the order of time; those of the same time in the order that they were given. */
export class ObservationIndex {
  readonly #all: readonly Observation[]
  #kinds: Map<string, Observation[]> | undefined
  #places: Map<string, Timed[]> | undefined
  #flows: Map<string, Timed[]> | undefined
  #refs: Map<string, Observation[]> | undefined

  constructor(observations: Iterable<Observation>) {
    this.#all = Array.isArray(observations) ? observations : [...observations]
  }

  /** All of one kind. */
  kind<K extends Observation['kind']>(kind: K): readonly OfKind<K>[] {
    this.#kinds ??= grouped(this.#all, ({ kind }) => [kind])
    return (this.#kinds.get(kind) ?? []) as unknown as OfKind<K>[]
  }

  /** Everything in one network namespace. */
  at(node: string, netns: string): readonly Timed[] {
    this.#places ??= grouped(this.#all.filter(isTimed), ({ node, netns }) => [`${node}/${netns}`])
    return this.#places.get(`${node}/${netns}`) ?? []
  }

  /** Everything between two endpoints, in either direction, anywhere: packets, traces, conntrack events of either tuple, sockets, served requests. */
  flow(one: string, other: string): readonly Timed[] {
    this.#flows ??= grouped(this.#all.filter(isTimed), flowsOf)
    return this.#flows.get(flowKey(one, other)) ?? []
  }

  /** What a ref points at: a packet can be a marker too. */
  ref(ref: string): readonly Observation[] {
    this.#refs ??= grouped(this.#all, ({ ref }) => [ref])
    return this.#refs.get(ref) ?? []
  }
}

function isTimed(observation: Observation): observation is Timed {
  return 't' in observation
}

function grouped<T extends Observation>(list: readonly T[], keysOf: (observation: T) => Iterable<string>): Map<string, T[]> {
  const groups = new Map<string, T[]>()
  for (const observation of list) {
    for (const key of keysOf(observation)) {
      const group = groups.get(key)
      if (group) group.push(observation)
      else groups.set(key, [observation])
    }
  }
  // Without a time all are equal, and the sort keeps their order.
  for (const group of groups.values()) group.sort((a, b) => (isTimed(a) && isTimed(b) ? a.t - b.t : 0))
  return groups
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
