import type { Observation } from '../evidence/observation.ts'
import type { Expectation } from '../judge/expectation.ts'
import type { Attempt } from '../traffic/attempt.ts'

/**
 * Whether everything that comes after the client's answer is there: the log lines and closed sockets that the case's path asks for.
 * Ports that only the judge will know count as any port; too little only ends the wait at its time-out.
 */
export function settled(e: Expectation, result: Attempt['result']): (told: readonly Observation[]) => boolean {
  const proofs = e.path.legs.flatMap((l) => l.hops.flatMap((h) => h.proofs))
  const fits = (seen: string | undefined, wanted: string | undefined) => {
    if (wanted === undefined) return true
    const text = wanted.replace('$client', `${result.localPort}`)
    return text.includes('$') ? (seen?.startsWith(text.slice(0, text.indexOf('$'))) ?? false) : seen === text
  }
  const logs = proofs.filter((p) => p.kind === 'log')
  const sockets = proofs.filter((p) => p.kind === 'socket')
  return (told) =>
    logs.every((p) =>
      told.some(
        (t) =>
          t.kind === 'ztunnel-log' &&
          t.node === p.node &&
          t.target === p.target &&
          ['direction', 'src.addr', 'dst.addr', 'src.workload', 'domain'].every((key) => fits(t.fields[key], p.fields[key])),
      ),
    ) &&
    sockets.every((p) =>
      told.some((t) => t.kind === 'socket' && t.node === p.node && t.netns === p.netns && fits(t.local, p.local) && fits(t.peer, p.peer)),
    )
}
