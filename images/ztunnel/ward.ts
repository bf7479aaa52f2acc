import type { ProxyContext } from './context.ts'
import { authorize, type Denial, type PolicyConnection } from './rbac.ts'

/** Asks the policies of the moment about a connection to this pod. A pod whose record is gone for now keeps what it had admitted. */
export function wardFor(context: ProxyContext, connection: PolicyConnection): () => Denial {
  return () => {
    const own = context.self.workload()
    if (!own) return undefined
    return authorize(context.state, own, connection, (policy) =>
      context.log('warn', 'state', 'workload names a policy that is not known, skipping it', { workload: own.uid, policy }),
    )
  }
}

export const rejection = (denial: string): string => `connection closed due to policy rejection: ${denial}`
