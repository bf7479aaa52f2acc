import { mkdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { observations } from '../evidence/bundle.ts'
import { exportCase } from '../evidence/export.ts'
import type { PacketObservation } from '../evidence/observation.ts'
import type { Judgement } from '../judge/bundle.ts'
import type { CaseVerdict } from '../judge/verdict.ts'

/**
 * Writes one capture a case: the packets that its verdict rests on, with their hops as comments, and the others of the same connections.
 * @returns the files, by case id
 */
export function writeCaptures({ bundle, verdicts }: Judgement, directory: string): Map<string, string> {
  const packets = observations(bundle).filter((o) => o.kind === 'packet')
  const byRef = new Map(packets.map((p) => [p.ref, p]))
  const byPlace = Map.groupBy(packets, placeOf)
  const files = new Map<string, string>()
  for (const verdict of verdicts) {
    const comments = commentsOf(verdict, byRef)
    const cited = [...comments.keys()].map((ref) => byRef.get(ref)).filter((p) => p !== undefined)
    if (cited.length === 0) continue
    const from = Math.min(...cited.map((p) => p.t)) - 1e6
    const to = Math.max(...cited.map((p) => p.t)) + 1e6
    const whole = new Set([...new Set(cited.map(placeOf))].flatMap((place) => byPlace.get(place) ?? []))
    const file = join(directory, verdict.id.replaceAll('/', '.'), 'capture.pcapng')
    mkdirSync(dirname(file), { recursive: true })
    exportCase(
      bundle,
      [...whole]
        .filter((p) => p.t >= from && p.t <= to)
        .toSorted((a, b) => a.t - b.t)
        .map((observation) => ({ observation, comment: comments.get(observation.ref)?.join('; ') ?? '' })),
      file,
    )
    files.set(verdict.id, file)
  }
  return files
}

/** Where a connection is seen, either way. */
const placeOf = (p: PacketObservation) => [p.node, p.netns, p.dev, ...[p.from, p.to].sort()].join(' ')

/** What each cited packet is in the path, `LEG: HOP (VERDICT)`. A hop may rest on packets of other places too, from which its ports are known. */
function commentsOf(verdict: CaseVerdict, packets: ReadonlyMap<string, PacketObservation>): Map<string, string[]> {
  const comments = new Map<string, string[]>()
  for (const leg of verdict.legs) {
    for (const hop of leg.hops) {
      for (const ref of new Set(hop.proofs.filter((p) => p.kind === 'packet' || p.kind === 'token').flatMap((p) => p.refs))) {
        const p = packets.get(ref)
        if (!p || !`${p.node}/${p.netns}/${p.dev}/`.startsWith(`${hop.vantage}/`)) continue
        const list = comments.get(ref) ?? []
        list.push(`${leg.title}: ${hop.title} (${hop.verdict})`)
        comments.set(ref, list)
      }
    }
  }
  return comments
}
