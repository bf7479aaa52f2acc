import { disruptionsIn } from '../disruption/bundle.ts'
import type { DisruptionExpectation } from '../disruption/expectation.ts'
import { loadRecord } from '../disruption/judge/load-record.ts'
import type { Judgement } from '../judge/bundle.ts'
import { loadOf } from '../report/load.ts'

const disturbances: Readonly<Record<DisruptionExpectation['case']['disturbance'], (pod: string) => string>> = {
  'label-off-and-on': (pod) => `the label of ${pod} was taken off, so that it left the mesh, and put on again`,
  'ztunnel-rollout': () => "the mesh's proxies (ztunnel) were replaced, node by node",
  'agent-restart': () => "the mesh's agents, which set up redirection on the nodes, were replaced",
  'discovery-restart': () => 'the control plane was replaced',
  enrolment: (pod) => `${pod} was enrolled in the mesh`,
  leaving: (pod) => `${pod} left the mesh`,
}

/** Who asks whom, what is done meanwhile, and what happened when; and when the load began, microseconds. undefined: the case is no disruption, or was not made. */
export function loadIntroduction(
  { bundle, evidence }: Pick<Judgement, 'bundle' | 'evidence'>,
  id: string,
): { lines: string[]; startedAt?: number } | undefined {
  const e = disruptionsIn(bundle.directory, []).find((d) => d.case.id === id)
  if (!e || !('load' in e)) return undefined
  const pod = ({ netns, node }: { netns: string; node: string }) => `pod ${netns.slice(netns.indexOf('.') + 1)} on node ${node}`
  const { subject, disturbance, connections } = e.case
  const load = loadOf(e, evidence)
  const how = connections === 'new' ? 'each on a connection of its own' : 'over connections that stood before'
  const lines = [
    `${load?.requests.length ?? 'No'} requests went from ${pod(e.client)} to ${pod(e.server)}, ${how}, each with a number and a token that is searched for in packets.`,
    `Meanwhile ${disturbances[disturbance](pod(subject === 'client' ? e.client : e.server))}.`,
  ]
  const events = (load?.events ?? []).map(
    ({ at, netns, what }) => `${(at / 1000).toFixed(2)} s ${netns === '' ? what : `${netns.slice(netns.indexOf('.') + 1)} ${what}`}`,
  )
  const startedAt = loadRecord(evidence, e.load)?.window.from
  return {
    lines: events.length > 0 ? [...lines, `Since its begin: ${events.join(', ')}.`] : lines,
    ...(startedAt === undefined ? {} : { startedAt }),
  }
}
