import type { PacketObservation } from '../evidence/observation.ts'
import { reassemble } from '../evidence/parse/stream.ts'
import type { BytesProof, Flow, TokenProof } from '../modes/path.ts'
import { fillFlow } from './bind.ts'
import { contradicted, missing, proven, type Scene, sharesAnEnd } from './proof.ts'
import { endsOf, streamAt } from './stream.ts'
import type { ProofVerdict } from './verdict.ts'

const refsOf = (packets: readonly PacketObservation[]) => packets.map((p) => p.ref)

/** Counts both directions by the sequence numbers of all their packets. */
export function proveBytes(proof: BytesProof, scene: Scene): ProofVerdict {
  const expected = `exactly ${proof.bytes} bytes each way, from the first to the end, at ${proof.netns}/${proof.dev}`
  // lo shows each packet twice.
  const here = scene.evidence
    .in('packet', proof, scene.window)
    .filter((p) => p.dev === proof.dev && p.protocol === 'tcp' && (proof.dev !== 'lo' || p.direction === 'in'))
  const refs: string[] = []
  for (const flow of [proof.forward, proof.backward].map((f) => fillFlow(f, scene.variables))) {
    const mine = here.filter((p) => p.from === flow.from && p.to === flow.to && isTelling(p))
    const { started, ended, length, gaps } = reassemble(mine)
    if (ended === 'rst') return contradicted(proof.kind, expected, `a reset of ${flow.from} → ${flow.to}`, refsOf(mine))
    if (!started || ended !== 'fin' || gaps.some((g) => g.reason === 'missing')) {
      const astray = here.find((p) => !mine.includes(p) && isTelling(p) && sharesAnEnd(p, flow) && mine.some((q) => adjoins(p, q)))
      return astray
        ? contradicted(proof.kind, expected, `[${astray.flags}] ${astray.from} → ${astray.to}, ${astray.payloadLength} bytes`, [astray.ref])
        : missing(proof.kind, expected)
    }
    if (length !== proof.bytes) return contradicted(proof.kind, expected, `${length} bytes ${flow.from} → ${flow.to}`, refsOf(mine))
    refs.push(...refsOf(mine))
  }
  return proven(proof.kind, expected, refs)
}

const isTelling = (p: PacketObservation) => p.payloadLength > 0 || /[SFR]/.test(p.flags)

/** One carries on where the other ends. */
function adjoins(p: PacketObservation, q: PacketObservation): boolean {
  const next = (a: PacketObservation) => (a.seq + a.payloadLength + (/[SF]/.test(a.flags) ? 1 : 0)) >>> 0
  return next(q) === p.seq || next(p) === q.seq
}

/** The token at both ends of both directions, or at none of them; what lies between was not kept, and proves nothing. */
export function proveTokenAtEnds(proof: TokenProof, ends: number, scene: Scene): ProofVerdict {
  const clear = proof.row === 'clear'
  const expected = `the first and the last ${ends} bytes each way are whole, and the token is ${clear ? 'readable in each' : 'in none'} at ${proof.netns}/${proof.dev}`
  const streams = [proof.forward, ...(proof.backward ? [proof.backward] : [])].map((f: Flow) =>
    streamAt(scene.evidence, proof, fillFlow(f, scene.variables), scene.window),
  )
  const readable = streams.flatMap((s) => s.packets.filter((p) => Buffer.from(p.payload).includes(scene.token)))
  if (!clear && readable.length > 0) return contradicted(proof.kind, expected, 'the token, readable', refsOf(readable))
  const seen = streams.map((s) => endsOf(s, ends))
  const whole = seen.filter((e) => e !== undefined)
  if (whole.length < seen.length) return missing(proof.kind, expected)
  const refs = whole.flatMap((e) => refsOf(e.packets))
  if (clear && !whole.every((e) => e.bytes.every((bytes) => bytes.includes(scene.token))))
    return contradicted(proof.kind, expected, 'they are whole, and the token is not in each', refs)
  return proven(proof.kind, expected, refs)
}
