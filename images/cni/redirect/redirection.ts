import type { Rules } from '../shared/eligibility.ts'

/** A pod as a redirection mode needs to know it. */
export interface RedirectedPod {
  readonly uid: string
  readonly namespace: string
  readonly name: string
  /** An open descriptor of the pod's network namespace. */
  readonly netns: number
  /** Addresses as text, IPv4 and IPv6; empty when not known yet. */
  readonly ips: readonly string[]
  readonly labels: Readonly<Record<string, string>>
  readonly annotations: Readonly<Record<string, string>>
}

/**
 * How traffic of pods comes to the proxy: one implementation a mode. All calls are idempotent, may run in parallel for different pods,
 * and throw with what failed and where; a call that failed leaves the pod no less captured than it was.
 */
export interface Redirection {
  /** Node-wide state, at agent start. Keeps what a former agent left intact. */
  setupHost(): Promise<void>
  /** Modes that redirect on the node: joins it to its proxy, and takes the place of a former one. Others have no such call. */
  activate?(proxy: NodeProxy): Promise<void>
  /** Node-wide state away, at uninstall. Pods keep their own. */
  teardownHost(): Promise<void>
  /** Captures the traffic of a pod that starts, before the proxy hears of it. */
  addPod(pod: RedirectedPod): Promise<void>
  /** Captures the traffic of a pod that runs already, after the proxy has heard of it. What is in flight may end; a connection that goes on longer is cut, so that none is left in plaintext. */
  addRunningPod(pod: RedirectedPod): Promise<void>
  /** The proxy has taken the pod: what the node grants only to served pods. Called again when the pod's addresses change. */
  podServed(pod: RedirectedPod): Promise<void>
  /** New connections of the pod are not captured any more; those that are go on. For a pod that runs on. */
  stopCapture(pod: RedirectedPod): Promise<void>
  /** After that: what was captured is cut, but for what the proxy carries to the pod, where the mode lets it go on. @returns whether it does: then `removePod` is due when the proxy has ended it, else at once */
  endCapture(pod: RedirectedPod): Promise<boolean>
  /** Lets the pod go. `alive`: it runs on and must be reachable without the proxy; otherwise its namespace is left to vanish. */
  removePod(pod: Omit<RedirectedPod, 'netns'> & { readonly netns?: number }, alive: boolean): Promise<void>
  /** Is anything of the redirection in this namespace, whole or half made? @param netns open descriptor */
  isMarked(netns: number): Promise<boolean>
  /** Looks at what is there and mends only what differs. */
  reconcilePod(pod: RedirectedPod): Promise<'intact' | 'repaired'>
  /** Node-wide sets become exactly those of `pods`; `complete`: every pod's addresses are known, so what is nobody's may go. */
  reconcileHost(pods: readonly Omit<RedirectedPod, 'netns'>[], complete: boolean): Promise<void>
}

/** The node's proxy, where a mode joins the node to it. */
export interface NodeProxy {
  readonly uid: string
  readonly namespace: string
  readonly name: string
  /** IPv4. */
  readonly address: string
  /** An open descriptor of its network namespace. */
  readonly netns: number
  /** It answers DNS queries of enrolled pods. */
  readonly dnsCapture: boolean
}

/** What any mode's release says to the rest of the agent. */
export interface AgentRelease {
  /** A proxy is told a pod's name, namespace and service account too, not only its UID. */
  readonly workloadInfo: boolean
  /** Which pods are of the mesh, where that cannot be configured. */
  readonly eligibility?: Required<Pick<Rules, 'selectors' | 'annotationOptsOut'>>
  /** The plugin reads in a file on the node whether a proxy is ready. */
  readonly tellsPlugin?: boolean
}

/** What a mode may need from the agent's environment. */
export interface RedirectionOptions {
  /** The node's own network namespace. */
  readonly host: string | number
  readonly dnsCapture: boolean
  readonly ipv6: boolean
  readonly probeAddress?: { readonly v4?: string | undefined; readonly v6?: string | undefined }
  /** FORCE_IPTABLES_BINARY. */
  readonly forceBackend?: string | undefined
  /** The node's address in its pod network, for modes that name it. @throws Error when the node has none */
  readonly hostAddress?: () => Promise<string>
  /** File on the node for what the node's settings were before, for modes that change some. @default they are forgotten with this process */
  readonly formerSettings?: string
  readonly log: Log
}

export interface Log {
  debug(message: string, fields?: Record<string, unknown>): void
  info(message: string, fields?: Record<string, unknown>): void
  warn(message: string, fields?: Record<string, unknown>): void
  error(message: string, fields?: Record<string, unknown>): void
}
