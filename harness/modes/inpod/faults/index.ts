import type { Fault } from '../../fault.ts'
import { identityFaults } from './identity.ts'
import { nodeFaults } from './node.ts'
import { protocolFaults } from './protocols.ts'
import { proxyFaults } from './proxy.ts'
import { ruleFaults } from './rules.ts'

/** Every way to break the mode that the catalogue knows. */
export const faults: readonly Fault[] = [...ruleFaults, ...nodeFaults, ...proxyFaults, ...identityFaults, ...protocolFaults]
