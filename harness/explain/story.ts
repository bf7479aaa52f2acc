import { observations } from '../evidence/bundle.ts'
import type { Observation } from '../evidence/observation.ts'
import type { TopologyRecord } from '../evidence/topology-record.ts'
import type { Judgement } from '../judge/bundle.ts'
import type { Expectation } from '../judge/expectation.ts'
import type { CaseVerdict, HopVerdict } from '../judge/verdict.ts'
import type { Attempt } from '../traffic/attempt.ts'
import { type Fact, factOf } from './evidence-words.ts'
import { loadIntroduction } from './load.ts'
import { checkWords, hopWords, legWords } from './words.ts'

export interface StoryHop {
  readonly id: string
  readonly title: string
  readonly verdict: HopVerdict['verdict']
  /** In words; empty for what holds for the case as a whole. */
  readonly where: string
  readonly means?: string
  readonly facts: readonly Fact[]
}

export interface StoryLeg {
  readonly title: string
  readonly row: 'clear' | 'sealed'
  readonly means?: string
  readonly hops: readonly StoryHop[]
}

/** One request from its client's first packet to its end, as the evidence tells it. */
export interface Story {
  readonly case: string
  readonly verdict: CaseVerdict['verdict']
  readonly reason?: string
  readonly brokenHop?: string
  readonly likely?: string
  /** Who takes part, what is asked, when. */
  readonly introduction: readonly string[]
  /** Wall clock of the client's begin, from which all times count; absent: the request was not made. */
  readonly startedAt?: string
  readonly legs: readonly StoryLeg[]
  readonly checks: readonly StoryHop[]
}

/** @param verdict of a case of the judged bundle; one that is no request has no path, and is told by its checks alone */
export function storyOf({ bundle, evidence }: Pick<Judgement, 'bundle' | 'evidence'>, verdict: Omit<CaseVerdict, 'durationMs'>): Story {
  const { id } = verdict
  const written = bundle.cases
    .map(({ value }) => value as Expectation | { case: { id: string }; unsupported: string })
    .find((e) => e.case.id === id)
  const expectation = written && 'path' in written ? written : undefined
  const { reason, brokenHop, likely } = verdict
  const head = {
    case: id,
    verdict: verdict.verdict,
    ...(reason ? { reason } : {}),
    ...(brokenHop ? { brokenHop } : {}),
    ...(likely ? { likely } : {}),
  }
  const main = bundle.traffic.map((line) => line.value as Attempt).find((a) => a.case === id && a.role === 'main')
  const byRef = new Map(observations(bundle).map((o) => [o.ref, o]))
  const load = loadIntroduction({ bundle, evidence }, id)
  const startedAt = load?.startedAt ?? (main?.result.startedAt ?? 0) * 1000
  const tell = (hop: HopVerdict, means: string | undefined, where: string): StoryHop => ({
    id: hop.id,
    title: hop.title,
    verdict: hop.verdict,
    where,
    ...(means ? { means } : {}),
    facts: factsOf(hop, (ref) => byRef.get(ref), startedAt),
  })
  const places = new Places(expectation, bundle.topology as TopologyRecord | undefined)
  return {
    ...head,
    introduction: expectation ? introduction(expectation, main, places) : (load?.lines ?? []),
    ...(main ? { startedAt: new Date(main.result.startedAt).toISOString() } : {}),
    legs: verdict.legs.map((leg) => {
      const means = legWords(leg.id, verdict.mode)
      return {
        title: leg.title,
        row: leg.row,
        ...(means ? { means } : {}),
        hops: leg.hops.map((h) => tell(h, hopWords(h.title, verdict.mode), places.of(h.vantage))),
      }
    }),
    checks: verdict.checks.map((c) => tell(c, checkWords(c.id), '')),
  }
}

/** Of markers there are dozens that all say the same: one stands for those that were seen. */
function factsOf(hop: HopVerdict, seen: (ref: string) => Observation | undefined, startedAt: number): Fact[] {
  const markers = hop.proofs.filter((p) => p.kind === 'marker' && p.status === 'proven')
  const facts = hop.proofs.filter((p) => !markers.includes(p)).map((p) => factOf(p, seen, startedAt))
  return markers.length > 0 ? [{ status: 'proven', text: `${markers.length} markers came through` }, ...facts] : facts
}

function introduction(e: Expectation, main: Attempt | undefined, places: Places): string[] {
  const belongs = (identity: string) => (identity ? `which belongs to the mesh as ${identity}` : 'which does not belong to the mesh')
  const client = e.client.netns === 'node' ? `the node ${e.client.node} itself` : `${places.pod(e.client)}, ${belongs(e.client.identity)}`
  const address = e.case.question
    ? `the cluster's name server, for ${e.name}`
    : e.destination === e.endpoint
      ? "the server's own address"
      : `the address of a service; behind it is ${e.endpoint}`
  const lines = [
    `The client is ${client} (address ${e.client.ip}).`,
    e.client.netns === e.server.netns
      ? 'It is the server too.'
      : `The ${e.case.question ? 'pod that it asks about' : 'server'} is ${places.pod(e.server)}, ${belongs(e.server.identity)} (address ${e.server.ip}).`,
    `The client asks ${e.destination} (${e.case.protocol}), ${address}. It must be ${e.path.outcome}.`,
  ]
  if (!main) return [...lines, 'The request was not made before the run ended.']
  const token = `Its request holds a random token, ${main.token}: where a packet shows it, whoever sees the packet can read the request.`
  const { ok, error, endedAt, startedAt } = main.result
  const took = `${(endedAt - startedAt).toFixed(1)} ms`
  const end = ok
    ? `The client was answered after ${took}.`
    : `The client was not answered: after ${took} it got ${error?.code ?? 'another answer'}.`
  return [...lines, token, end]
}

/** Vantage points in words. */
class Places {
  readonly #e: Expectation | undefined
  readonly #topology: TopologyRecord | undefined

  constructor(e: Expectation | undefined, topology: TopologyRecord | undefined) {
    this.#e = e
    this.#topology = topology
  }

  pod({ netns, node }: { readonly netns: string; readonly node: string }): string {
    const pod = this.#topology?.pods.find((p) => `${p.namespace}.${p.name}` === netns)
    return `pod ${pod?.name ?? netns}${pod ? ` of namespace ${pod.namespace}` : ''} on node ${node}`
  }

  of(vantage: string): string {
    const [node = '', netns = '', dev] = vantage.split('/')
    const inside = netns === 'node' ? `on node ${node}` : `in pod ${netns.slice(netns.indexOf('.') + 1)} on node ${node}`
    return dev === undefined ? inside : `${inside}, ${this.#device(node, netns, dev)}`
  }

  #device(node: string, netns: string, dev: string): string {
    if (dev === 'lo') return 'loopback device lo'
    if (netns !== 'node') return `device ${dev}, the pod's end of its cable`
    const ends = [this.#e?.client, this.#e?.server]
    const cable = ends.find((p) => p?.node === node && p.veth === dev)
    if (cable) return `device ${dev}, the node's end of the cable to ${cable.netns.slice(cable.netns.indexOf('.') + 1)}`
    return ends.some((p) => p?.node === node && p.underlay === dev) ? `device ${dev}, towards the other nodes` : `device ${dev}`
  }
}
