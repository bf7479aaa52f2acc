import type { Case } from '../../matrix/cell.ts'

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
