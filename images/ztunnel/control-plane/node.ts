import type { Node } from '../../lib/xds/messages.ts'
import type { Encodable } from '../../lib/xds/schema.ts'

/** Who asks. */
export interface NodeDescription {
  readonly ip: string
  readonly podName: string
  readonly podNamespace: string
  readonly nodeName: string
  readonly clusterId: string
  /** From `ISTIO_META_*`. */
  readonly metadata: Readonly<Record<string, string>>
}

/** The xDS node under which upstream's ztunnel asks (fact sheet: in-pod mode, 5.1). */
export function xdsNode({ ip, podName, podNamespace, nodeName, clusterId, metadata }: NodeDescription): Encodable<typeof Node> {
  return {
    id: `ztunnel~${ip}~${podName}.${podNamespace}~${podNamespace}.svc.cluster.local`,
    metadata: { NAME: podName, NAMESPACE: podNamespace, INSTANCE_IPS: ip, NODE_NAME: nodeName, CLUSTER_ID: clusterId, ...metadata },
  }
}
