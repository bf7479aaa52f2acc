import type { ProxyContext } from './context.ts'
import { authorize, type Denial, type PolicyConnection } from './rbac.ts'
import type { Workload } from './state/types.ts'

/** Asks the policies of the moment about a connection to this pod. A pod whose record is gone for now keeps what it had admitted. */
export function wardFor(context: ProxyContext, connection: PolicyConnection): () => Denial {
  return () => {
    const own = context.self.workload()
    return own && ask(context, own, connection)
  }
}

/** As `wardFor`, for a connection to another pod of this node. */
export function wardOf(context: ProxyContext, destination: Workload, connection: PolicyConnection): () => Denial {
  return () => ask(context, context.state.workloads.get(destination.uid) ?? destination, connection)
}

function ask(context: ProxyContext, workload: Workload, connection: PolicyConnection): Denial {
  return authorize(context.state, workload, connection, (policy) =>
    context.log('warn', 'state', 'workload names a policy that is not known, skipping it', { workload: workload.uid, policy }),
  )
}

export const rejection = (denial: string): string => `connection closed due to policy rejection: ${denial}`
