import type { Observation } from '../../evidence/observation.ts'
import type { DisruptionExpectation } from '../expectation.ts'

/** Requests of each load. */
const count = 40

/** The world as a disruption's expectation promises it, with its controls: what the judge's own tests start from, before they take away or alter. Times begin at 2 s. */
export function idealDisruption(e: DisruptionExpectation): Observation[] {
  const world = new World(e)
  world.event(e.client, 'enrolled')
  if (e.case.connections === 'new' || e.case.disturbance !== 'enrolment') world.event(e.server, 'enrolled')
  world.load(e.controls.quiet, [])
  world.load(e.controls.plain, [], { readable: true })
  world.load(e.controls.closed, [['asked'], ...Array<undefined>(8).fill(undefined), ['done']], {
    failed: [20, 21, 22],
    error: 'ECONNREFUSED',
  })
  const subject = e.case.subject === 'client' ? e.client : e.server
  const replaced = (e.replaced?.nodes ?? []).flatMap((node) =>
    ['ready', 'deleting'].map((what) => [what, { node, netns: `istio-system.${node}` }] as const),
  )
  const steps: Record<typeof e.case.disturbance, readonly Step[]> = {
    'label-off-and-on': [['asked'], ['left', subject], ['enrolled', subject], ['done']],
    leaving: [['asked'], ['left', subject], ['done']],
    enrolment: [['asked'], ['enrolled', subject], ['done']],
    'ztunnel-rollout': [['asked'], ...replaced, ['done']],
    'agent-restart': [['asked'], ...replaced, ['done']],
    'discovery-restart': [['asked'], ...replaced, ['done']],
  }
  const out = e.case.disturbance === 'label-off-and-on' ? { readable: e.case.subject === 'server' ? [16, 17] : [16] } : {}
  const error = { reset: 'ECONNRESET', hang: 'ETIMEDOUT', survives: undefined }
  if (e.outcome === undefined) world.load(e.load, steps[e.case.disturbance], out)
  else
    world.load(e.load, steps[e.case.disturbance], {
      connections: 2,
      ...(error[e.outcome] ? { failed: [38, 39], error: error[e.outcome]! } : {}),
    })
  return world.observations
}

type Step = readonly [what: string, place?: { readonly node: string; readonly netns: string }]

interface Shape {
  /** Which requests were readable on their way. */
  readonly readable?: true | readonly number[]
  readonly failed?: readonly number[]
  readonly error?: string
  readonly connections?: number
}

class World {
  readonly observations: Observation[] = []
  readonly #e: DisruptionExpectation
  #t = 2_000_000

  constructor(e: DisruptionExpectation) {
    this.#e = e
  }

  #add(o: Record<string, unknown>): void {
    this.observations.push({ ...o, ref: `ideal#L${this.observations.length}` } as unknown as Observation)
  }

  event(place: { node: string; netns: string } | undefined, what: string, detail?: string): void {
    const { node, netns } = place ?? { node: '', netns: '' }
    this.#add({ kind: 'event', t: this.#t++, node, netns, what, ...(detail === undefined ? {} : { detail }) })
  }

  #marker(load: string, id: string): void {
    this.event(undefined, 'marker', `${load} ${id}`)
    for (const { node, netns } of [this.#e.client, this.#e.server])
      for (const at of [netns, 'node']) this.#add({ kind: 'marker', t: this.#t, node, netns: at, stream: 'packets', id })
  }

  /** A load whose disturbance happens a request a step, from the fifteenth on. */
  load(name: string, steps: readonly (Step | undefined)[], { readable = [], failed = [], error, connections }: Shape = {}): void {
    const mark = `mark${name.replaceAll(/[^a-z]/g, '')}`
    this.#marker(name, `${mark}-a`)
    this.event(undefined, 'load-begins', `${name} ${mark}`)
    const begun = this.#t / 1000
    for (let seq = 0; seq < count; seq++) {
      const step = steps[seq - 15]
      const [what = '', place] = step ?? []
      if (step) this.event(place, what, place ? (this.#e.replaced?.name ?? undefined) : name)
      this.#request(name, mark, seq, { readable, failed, error, connections })
    }
    this.#add({
      kind: 'load-end',
      t: this.#t,
      node: this.#e.client.node,
      netns: 'node',
      load: name,
      sent: count,
      startedAt: begun,
      endedAt: this.#t / 1000,
    })
    this.event(undefined, 'load-ends', name)
    this.#marker(name, `${mark}-b`)
  }

  #request(
    load: string,
    mark: string,
    seq: number,
    shape: { readable: true | readonly number[]; failed: readonly number[]; error: string | undefined; connections: number | undefined },
  ): void {
    const { client, server } = this.#e
    const token = `${mark}.${String(seq).padStart(6, '0')}.0123456789abcdef`
    const ok = !shape.failed.includes(seq)
    const startedAt = this.#t / 1000
    this.#t += 10_000
    const sighting = (node: string, netns: string, dev: string) =>
      this.#add({ kind: 'sighting', t: this.#t - 5000, node, netns, dev, direction: 'out', token })
    if (shape.readable === true || shape.readable.includes(seq)) sighting(client.node, 'node', 'eth0')
    if (ok) {
      sighting(server.node, server.netns, 'lo')
      this.#add({
        kind: 'served',
        t: this.#t - 4000,
        node: server.node,
        netns: server.netns,
        protocol: 'http',
        peer: '',
        local: '',
        body: token,
      })
    }
    this.#add({
      kind: 'load-answer',
      t: this.#t,
      node: client.node,
      netns: 'node',
      load,
      seq,
      token,
      ok,
      startedAt,
      endedAt: this.#t / 1000,
      ...(ok ? {} : { error: shape.error }),
      ...(shape.connections === undefined ? {} : { connection: seq % shape.connections }),
    })
    this.#t += 1000
  }
}
