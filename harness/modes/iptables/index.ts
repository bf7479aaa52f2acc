import type { Mode } from '../mode.ts'
import { disruptionLimit, limit, networkLimit } from './limits.ts'
import { path } from './path.ts'
import { audit } from './state.ts'

/** iptables rules and GENEVE tunnels between each node and its ztunnel: Istio 1.18 to 1.20. */
export const iptables: Mode = {
  name: 'iptables',
  releases: ['1.20'],
  complete: false,
  limit,
  networkLimit,
  disruptionLimit,
  path,
  faults: {},
  audit,
}
