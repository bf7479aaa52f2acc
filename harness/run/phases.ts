import type { Case } from '../matrix/cell.ts'
import { restsOnListener } from './decisive.ts'

/** One request of one case: the one that is judged, or its negative control. */
export interface Step {
  readonly case: Case
  readonly role: 'main' | 'negative'
}

/** Requests that are made under one state of the cluster: changing it is what costs. */
export interface Phase {
  readonly title: string
  readonly policies: 'none' | 'as the cases say' | 'strict' | 'deny everything'
  readonly steps: readonly Step[]
}

/** Which requests are made when. A negative control runs in the phase in which its case's decisive condition does not hold. */
export function phasesOf(cases: readonly Case[]): Phase[] {
  const main = (c: Case): Step => ({ case: c, role: 'main' })
  const negative = (c: Case): Step => ({ case: c, role: 'negative' })
  const guarded = cases.filter((c) => c.policy === 'allow' || c.policy === 'deny')
  const strict = cases.filter((c) => c.policy === 'strict')
  const listening = cases.filter(restsOnListener)
  const asking = cases.filter((c) => c.question)
  const refused = cases.filter(isRefused)
  const meshed = cases.filter((c) => !isRefused(c) && !restsOnListener(c) && !c.question)
  const phases: Phase[] = [
    { title: 'requests without a policy', policies: 'none', steps: cases.filter((c) => c.policy === 'none').map(main) },
    { title: 'requests with the policies of the cases', policies: 'as the cases say', steps: guarded.map(main) },
    { title: 'requests that a policy overtakes', policies: 'none', steps: cases.filter((c) => c.policy === 'revoked').map(main) },
    { title: 'requests under strict mutual TLS', policies: 'strict', steps: strict.map(main) },
    { title: 'controls with policies that deny everything', policies: 'deny everything', steps: meshed.map(negative) },
    // Not before: a tunnel that is open already would be no new one for the case.
    { title: 'controls of what is refused', policies: 'none', steps: refused.map(negative) },
    { title: 'controls with a name that nobody has', policies: 'none', steps: asking.map(negative) },
    { title: 'controls with a server that does not listen', policies: 'none', steps: listening.map(negative) },
  ]
  return phases.filter((p) => p.steps.length > 0)
}

/** The case's request must not be served: its control must. */
function isRefused(c: Case): boolean {
  if (c.traffic === 'direct' || c.traffic === 'forged' || c.traffic === 'mesh-to-impostor' || c.policy === 'deny' || c.policy === 'revoked')
    return true
  return c.policy === 'strict' && c.traffic === 'plain-to-mesh'
}
