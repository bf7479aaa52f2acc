import type { Case } from '../matrix/cell.ts'

/** One request of one case: the one that is judged, or its negative control. */
export interface Step {
  readonly case: Case
  readonly role: 'main' | 'negative'
}

/** Requests that are made under one state of the cluster: changing it is what costs. */
export interface Phase {
  readonly title: string
  readonly policies: 'none' | 'as the cases say' | 'deny everything'
  readonly steps: readonly Step[]
}

/** Which requests are made when. A negative control runs in the phase in which its case's decisive condition does not hold. */
export function phasesOf(cases: readonly Case[]): Phase[] {
  const main = (c: Case): Step => ({ case: c, role: 'main' })
  const negative = (c: Case): Step => ({ case: c, role: 'negative' })
  const guarded = cases.filter((c) => c.policy !== 'none')
  const denied = cases.filter((c) => c.policy === 'deny')
  const meshed = cases.filter((c) => c.policy !== 'deny' && (c.traffic === 'mesh-to-mesh' || c.traffic === 'plain-to-mesh'))
  const listening = cases.filter((c) => c.traffic === 'mesh-to-plain' || c.traffic === 'probe')
  const phases: Phase[] = [
    { title: 'requests without a policy', policies: 'none', steps: cases.filter((c) => c.policy === 'none').map(main) },
    { title: 'requests with the policies of the cases', policies: 'as the cases say', steps: guarded.map(main) },
    { title: 'controls with policies that deny everything', policies: 'deny everything', steps: meshed.map(negative) },
    // Not before: a tunnel that is open already would be no new one for the case.
    { title: 'controls without the policies of the cases', policies: 'none', steps: denied.map(negative) },
    { title: 'controls with a server that does not listen', policies: 'none', steps: listening.map(negative) },
  ]
  return phases.filter((p) => p.steps.length > 0)
}
