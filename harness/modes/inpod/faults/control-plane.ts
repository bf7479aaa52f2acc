import type { Fault } from '../../fault.ts'
import { denied, sealed, strictPlain } from './cases.ts'
import { misled } from './seeds.ts'

/** What ztunnel is told wrongly. */
export const controlPlaneFaults: readonly Fault[] = [
  {
    id: 'told-that-nobody-tunnels',
    title: 'the control plane tells of no redirected pod that it takes HBONE',
    seed: misled(
      'convert/workload.ts',
      "tunnelProtocol: native || annotations[redirectionAnnotation] === 'enabled'",
      'tunnelProtocol: native',
    ),
    cases: [sealed],
    breaks: { case: sealed, hop: 'ztunnel-ztunnel/leaves-ztunnel-uncaptured' },
  },
  {
    id: 'told-allow-as-deny',
    title: 'the control plane turns ALLOW policies into DENY ones',
    seed: misled(
      'convert/authorization.ts',
      'return { name, namespace, scope, action, rules',
      "return { name, namespace, scope, action: 'DENY', rules",
    ),
    cases: [denied],
    breaks: { case: denied, hop: 'ztunnel-ztunnel/is-refused-by-policy' },
  },
  {
    id: 'told-an-empty-strict-policy',
    title: 'what the control plane tells of STRICT denies nobody',
    seed: misled('convert/peer-authentication.ts', 'rules: [{ clauses: [{ matches: [withoutIdentity] }] }],', 'rules: [],'),
    cases: [strictPlain],
    breaks: { case: strictPlain, hop: 'client-ztunnel/is-refused-by-policy' },
  },
]
