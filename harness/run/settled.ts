import type { Observation } from '../evidence/observation.ts'
import type { Expectation } from '../judge/expectation.ts'
import type { Attempt } from '../traffic/attempt.ts'

/**
 * Whether everything that comes after the client's answer is there: as many access-log lines, served lines and closed sockets of the
 * case's own ends as its path asks for. Too little only ends the wait at its time-out.
 */
export function settled(e: Expectation, result: Attempt['result']): (told: readonly Observation[]) => boolean {
  const proofs = e.path.legs.flatMap((l) => l.hops.flatMap((h) => h.proofs))
  const own = (text: string) => text.replace('$client', `${result.localPort}`)
  const logs = proofs.filter((p) => p.kind === 'log')
  const sockets = proofs.filter((p) => p.kind === 'socket')
  return (told) =>
    logs.every((p) =>
      told.some(
        (t) =>
          t.kind === 'ztunnel-log' &&
          t.node === p.node &&
          t.target === 'access' &&
          t.fields.direction === p.fields.direction &&
          t.fields['dst.addr'] === p.fields['dst.addr'] &&
          (p.fields['src.addr']!.includes('$client') ? t.fields['src.addr'] === own(p.fields['src.addr']!) : true),
      ),
    ) &&
    sockets.every((p) =>
      told.some(
        (t) =>
          t.kind === 'socket' &&
          t.netns === p.netns &&
          t.node === p.node &&
          (t.local === own(p.local) || p.local.includes('$')) &&
          (t.peer === own(p.peer) || p.peer.includes('$')),
      ),
    )
}
