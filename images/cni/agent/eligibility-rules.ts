import { modeRelease } from '../redirect/modes.ts'
import type { Rules } from '../shared/eligibility.ts'
import type { AgentConfig } from './config.ts'

/** Which pods this agent and its plugin take in: as the release says, else as configured. @throws Error when there is no such mode or release */
export function eligibilityRules(config: AgentConfig): Rules {
  const { eligibility } = modeRelease(config.redirectMode, config.release).release
  return {
    selectors: config.selectors,
    excludeNamespaces: config.excludeNamespaces,
    systemNamespace: config.podNamespace,
    ...eligibility,
  }
}
