import type { Family, Rule } from '../netfilter/rule.ts'
import type { AgentRelease } from '../redirection.ts'
import { redirectRules } from './redirect-rules.ts'
import type { PodRuleOptions } from './rules.ts'
import { tproxyRules } from './tproxy-rules.ts'

/** What differs between the releases of in-pod mode for the agent. Nothing else asks which release it is. */
export interface InpodRelease extends AgentRelease {
  /** Address families that are captured. */
  readonly families: readonly Family[]
  readonly podRules: (options: PodRuleOptions) => Rule[]
  /** Connections that the proxy carries to a pod go on when that leaves: their addresses were never translated. */
  readonly lingers: boolean
  /** Names of the node's sets of enrolled pods' addresses. */
  readonly probeSets: Readonly<Partial<Record<Family, string>>>
  /** The node's jump stands before all others', else behind them. */
  readonly hostJumpFirst: boolean
  /** Annotations and labels of a pod change its rules. */
  readonly podSettings: boolean
}

/** Where each row changed in Istio: rules 1.24, sets and IPv6 1.23, AddWorkload 1.22, pods' own settings 1.25, the jump's place 1.27. */
export const inpodReleases = {
  today: {
    families: ['v4', 'v6'],
    podRules: redirectRules,
    lingers: false,
    probeSets: { v4: 'istio-inpod-probes-v4', v6: 'istio-inpod-probes-v6' },
    hostJumpFirst: true,
    podSettings: true,
    workloadInfo: true,
  },
  '1.21': {
    families: ['v4'],
    podRules: tproxyRules,
    lingers: true,
    probeSets: { v4: 'istio-inpod-probes' },
    hostJumpFirst: false,
    podSettings: false,
    workloadInfo: false,
  },
} as const satisfies Readonly<Record<string, InpodRelease>>
