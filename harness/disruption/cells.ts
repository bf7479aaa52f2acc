import { batchName } from '../matrix/cases.ts'

/** What is done to the mesh while a load runs. */
export type Disturbance = 'label-off-and-on' | 'ztunnel-rollout' | 'agent-restart' | 'discovery-restart' | 'enrolment' | 'leaving'

/** A cell that asks what a disturbance costs: a load runs, something is done to the mesh, and every request is accounted for. */
export interface Disruption {
  /** `MODE[@RELEASE]/disruption/DISTURBANCE[/SUBJECT]`, unique in a run. */
  readonly id: string
  readonly mode: string
  readonly release: string
  readonly disturbance: Disturbance
  /** Whose label is changed: the pod that serves (its connections are inbound) or the one that asks (outbound); `mesh`: nobody's. */
  readonly subject: 'server' | 'client' | 'mesh'
  /** `new`: each request on a connection of its own. `established`: connections that stand before the disturbance. */
  readonly connections: 'new' | 'established'
  /** Never: they take their time. */
  readonly quick: false
}

/** All disruptions of a mode in a release, in the order in which they begin: those of single pods first, which can go side by side. */
export function disruptionsOf(mode: string, release = 'today'): Disruption[] {
  const cell = (
    disturbance: Disturbance,
    subject: Disruption['subject'],
    connections: Disruption['connections'],
    name: string,
  ): Disruption => ({
    id: `${batchName(mode, release)}/disruption/${name}`,
    mode,
    release,
    disturbance,
    subject,
    connections,
    quick: false,
  })
  return [
    cell('label-off-and-on', 'server', 'new', 'label-off-and-on/server'),
    cell('label-off-and-on', 'client', 'new', 'label-off-and-on/client'),
    // Leaving first: the pod is then out of the mesh, which is what enrolment begins with.
    cell('leaving', 'server', 'established', 'established/leaving/inbound'),
    cell('enrolment', 'server', 'established', 'established/enrolment/inbound'),
    cell('leaving', 'client', 'established', 'established/leaving/outbound'),
    cell('enrolment', 'client', 'established', 'established/enrolment/outbound'),
    cell('ztunnel-rollout', 'mesh', 'new', 'ztunnel-rollout'),
    cell('agent-restart', 'mesh', 'new', 'agent-restart'),
    cell('discovery-restart', 'mesh', 'new', 'discovery-restart'),
  ]
}
