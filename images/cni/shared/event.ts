/** File names inside the agent's run directory (default /var/run/istio-cni), as upstream's. */
export const runFiles = {
  eventSocket: 'pluginevent.sock',
  logSocket: 'log.sock',
  log: 'istio-cni.log',
  kubeconfig: 'istio-cni-kubeconfig',
} as const

/** Body of `POST /cmdadd`, keys and shapes as Go's encoding of the CNI result gives them. */
export interface AddEvent {
  /** As the container runtime says, a path on the node. */
  readonly Netns: string
  readonly PodName: string
  readonly PodNamespace: string
  readonly IPs: readonly EventIp[]
}

export interface EventIp {
  /** Index into the result's interfaces. */
  readonly Interface: number | null
  /** Mask: base64 of the mask's bytes. */
  readonly Address: { readonly IP: string; readonly Mask: string }
  readonly Gateway: string
}
