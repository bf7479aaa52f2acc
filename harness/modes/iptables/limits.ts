import type { Case } from '../../matrix/cell.ts'
import type { Network } from '../mode.ts'

/** Why a cell cannot be in this mode: a row of the facts; undefined: it can. */
export function limit({ question, caller }: Case): string | undefined {
  if (question?.transport === 'tcp')
    return 'in mode iptables no questions over TCP are captured (geneve-mode 2.3: only UDP is turned to ztunnel)'
  if (question?.captured === false)
    return 'in mode iptables no pod can opt out of DNS capture (geneve-mode 2.3: rule N2 is for all of the node)'
  if (caller === 'itself')
    return "in mode iptables ztunnel has no ports in a pod's namespace, and calls of a pod to itself never leave it (geneve-mode 2.5, 4.2)"
  return undefined
}

/** Of the facts' table of what was reported, rows 6 to 8. */
export const networkLimit = (network: Network): string | undefined =>
  network === 'bridge'
    ? 'mode iptables needs a route for each pod on its node, and where pods hang on a bridge there is none (geneve-mode 6.1: istio#46163, istio#47436, istio#42341)'
    : undefined

/** A pod of this mode leaves by an annotation, and is readable on its own node: loads know neither. */
export const disruptionLimit = 'what may be readable of a load in mode iptables, and how its pods leave, is not written down yet'
