import fc from 'fast-check'
import { expect, test } from 'vitest'
import { observations, openBundle } from '../../evidence/bundle.ts'
import type { Observation } from '../../evidence/observation.ts'
import { topologyRecordSchema } from '../../evidence/topology-record.ts'
import { Evidence } from '../../judge/evidence.ts'
import { type Expectation, expectationSchema } from '../../judge/expectation.ts'
import { judgeCase } from '../../judge/judge.ts'
import { type Attempt, attemptSchema } from '../../traffic/attempt.ts'
import type { MainJob } from './command.ts'

/** How long each claim may look, milliseconds; every kind of observation is looked at at least once. */
const TIME = 3000
const SEED = 20_261_121

interface Hop {
  /** `CASE HOP` */
  readonly id: string
  readonly verdict: string
  readonly text: string
  readonly refs: ReadonlySet<string>
  /** Pointers of its proofs to what proves them, for hops of the path only. */
  readonly own: ReadonlySet<string>
}

/** The bundle of a run, to be judged with some of its observations gone or changed. */
class Bundle {
  readonly all: readonly Observation[]
  readonly clean: readonly Hop[]
  readonly #cases: readonly Expectation[]
  readonly #attempts: ReadonlyMap<string, readonly Attempt[]>

  constructor(directory: string) {
    const bundle = openBundle(directory, { topology: topologyRecordSchema, case: expectationSchema, attempt: attemptSchema })
    this.all = observations(bundle)
    this.#cases = bundle.cases.map(({ value }) => value).filter((e): e is Expectation => !('unsupported' in e))
    this.#attempts = Map.groupBy(
      bundle.traffic.map(({ value }) => value),
      (a) => a.case,
    )
    this.clean = this.judge(this.all)
  }

  judge(seen: readonly Observation[]): Hop[] {
    const evidence = new Evidence(seen)
    return this.#cases.flatMap((e) => {
      const { id, legs, checks } = judgeCase(e, this.#attempts.get(e.case.id) ?? [], evidence)
      const path = legs.flatMap((l) => l.hops)
      return [...path, ...checks].map((h) => ({
        id: `${id} ${h.id}`,
        verdict: h.verdict,
        text: JSON.stringify(h),
        refs: new Set(h.proofs.flatMap((p) => p.refs)),
        own: new Set(path.includes(h) ? h.proofs.flatMap((p) => p.ref ?? []) : []),
      }))
    })
  }

  /** The hops that are not what they are with everything there. */
  changedBy(seen: readonly Observation[]): string[] {
    return this.judge(seen)
      .filter((h, i) => h.text !== this.clean[i]!.text)
      .map((h) => h.id)
  }

  without(refs: ReadonlySet<string>): Observation[] {
    return this.all.filter((o) => !refs.has(o.ref))
  }
}

/** In an order that the seed gives, one of each kind after the other, as long as there is time, but each kind once. */
function* sample<T>(items: readonly T[], kindOf: (item: T) => string): Generator<T> {
  const [shuffled = []] = fc.sample(fc.shuffledSubarray([...items], { minLength: items.length }), { numRuns: 1, seed: SEED })
  const kinds = [...Map.groupBy(shuffled, kindOf).values()]
  const until = performance.now() + TIME
  for (let i = 0; kinds.some((list) => i < list.length); i++) {
    for (const list of kinds) {
      const item = list[i]
      if (item !== undefined && (i === 0 || performance.now() < until)) yield item
    }
  }
}

export function lawTwoClaims(job: () => MainJob): void {
  let kept: Bundle | undefined
  const bundle = () => {
    kept ??= new Bundle(job().bundle)
    return kept
  }

  test('without one that a hop refers to, exactly the hops change that refer to it', () => {
    const { all, clean } = bundle()
    const referred = all.filter((o) => clean.some((h) => h.refs.has(o.ref)))
    const kinds = ['packet', 'trace', 'conntrack', 'socket', 'ztunnel-log', 'served', 'marker', 'loss', 'policy-rule', 'route']
    expect(new Set(referred.map((o) => o.kind))).toEqual(new Set(kinds))
    for (const gone of sample(referred, (o) => o.kind)) {
      const referring = clean.filter((h) => h.refs.has(gone.ref)).map((h) => h.id)
      expect(bundle().changedBy(bundle().without(new Set([gone.ref]))), `without ${gone.kind} ${gone.ref}`).toEqual(referring)
    }
  }, 60_000)

  test('without one that no hop refers to nothing changes, nor without all of these', () => {
    const { all, clean } = bundle()
    const referred = new Set(clean.flatMap((h) => [...h.refs]))
    const others = all.filter((o) => !referred.has(o.ref))
    expect(others.length).toBeGreaterThan(1000)
    expect(bundle().changedBy(bundle().without(new Set(others.map((o) => o.ref))))).toEqual([])
    for (const gone of sample(others, (o) => o.kind))
      expect(bundle().changedBy(bundle().without(new Set([gone.ref]))), `without ${gone.kind} ${gone.ref}`).toEqual([])
  }, 60_000)

  test('with the mark, an address or the rule altered in one, the hops that it proves fail', () => {
    const { all, clean } = bundle()
    const proving = all.filter((o) => clean.some((h) => h.own.has(o.ref)))
    const altered = proving.flatMap((from) => alterations(from).map(({ what, to }) => ({ from, what, to })))
    for (const { from, what, to } of sample(altered, (x) => `${x.from.kind} ${x.what}`)) {
      const after = new Map(
        bundle()
          .judge(all.map((o) => (o === from ? to : o)))
          .map((h) => [h.id, h]),
      )
      for (const { id } of clean.filter((h) => h.own.has(from.ref)))
        expect(after.get(id)!.verdict, `${id} with another ${what} in ${from.kind} ${from.ref}: ${after.get(id)!.text}`).toBe('fail')
    }
  }, 60_000)
}

/** Another address of no pod; the port stays. */
const elsewhere = (end: string) => end.replace(/^.*(:\d+)$/, '192.0.2.99$1')

function alterations(o: Observation): { what: string; to: Observation }[] {
  switch (o.kind) {
    case 'packet':
      return [
        { what: 'source', to: { ...o, from: elsewhere(o.from) } },
        { what: 'destination', to: { ...o, to: elsewhere(o.to) } },
      ]
    case 'trace':
      return [
        { what: 'mark', to: { ...o, mark: o.mark ^ 0xfff } },
        { what: 'source', to: { ...o, from: elsewhere(o.from) } },
        { what: 'destination', to: { ...o, to: elsewhere(o.to) } },
        ...(o.rule ? [{ what: 'rule', to: { ...o, rule: `${o.rule} -m comment --comment altered` } }] : []),
      ]
    case 'conntrack':
      return [
        { what: 'mark', to: { ...o, mark: o.mark ^ 0xfff } },
        { what: 'source', to: { ...o, orig: { ...o.orig, from: elsewhere(o.orig.from) } } },
        { what: 'answering address', to: { ...o, reply: { ...o.reply, from: elsewhere(o.reply.from) } } },
      ]
    case 'socket':
      return [
        { what: 'mark', to: { ...o, mark: o.mark ^ 0xfff } },
        { what: 'peer', to: { ...o, peer: elsewhere(o.peer) } },
      ]
    case 'policy-rule':
      return [{ what: 'rule', to: { ...o, line: o.line.replace(/lookup \w+/, 'lookup 9') } }]
    case 'route':
      return [{ what: 'device', to: { ...o, line: o.line.replace(/dev \S+/, 'dev elsewhere') } }]
    case 'served':
      return [{ what: 'peer', to: { ...o, peer: elsewhere(o.peer) } }]
    case 'ztunnel-log':
      return ['src.addr', 'dst.addr', 'src.identity', 'dst.identity']
        .filter((key) => o.fields[key])
        .map((key) => ({
          what: key,
          to: {
            ...o,
            fields: { ...o.fields, [key]: key.endsWith('addr') ? elsewhere(o.fields[key]!) : 'spiffe://cluster.local/ns/demo/sa/somebody' },
          },
        }))
    default:
      return []
  }
}
