import { namespaceSelectors } from '../../shared/eligibility.ts'
import type { AgentRelease } from '../redirection.ts'

/** The releases of the mode: it was taken out of Istio in January 2024. Its proxies are told of pods by the control plane alone. */
export const iptablesReleases = {
  '1.20': {
    workloadInfo: false,
    eligibility: { selectors: namespaceSelectors, annotationOptsOut: true },
    tellsPlugin: true,
  },
} as const satisfies Readonly<Record<string, AgentRelease>>
