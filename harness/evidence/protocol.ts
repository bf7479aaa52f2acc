import type { ClientRequest, ServerCommand } from '../../images/lib/app-protocol.ts'
import type { LoadCommand, StopCommand } from '../../images/lib/load-protocol.ts'
import type { PodReference } from './collect/find-netns.ts'

export type { PodReference } from './collect/find-netns.ts'

/** What a collector is told, one JSON object a line on its stdin. Each is answered by one reply frame with its id, after all evidence that it caused. */
export type CollectorCommand = { readonly id: string } & (
  | { readonly do: 'watch'; readonly pods: readonly PodReference[] }
  | { readonly do: 'unwatch'; readonly pods: readonly PodReference[] }
  | { readonly do: 'mark'; readonly marker: string }
  | { readonly do: 'snapshot'; readonly label: string }
  | { readonly do: 'request'; readonly request: ClientRequest; readonly pod?: { readonly uid: string } | undefined }
  | { readonly do: 'server'; readonly command: ServerCommand; readonly pod: { readonly uid: string } }
  /** Flows of these clients (IPv4 addresses) are a load's and left out of all streams and logs; `search`: their packets are read for tokens that begin so, and logs stay whole. None: as before. */
  | { readonly do: 'spare'; readonly clients: readonly string[]; readonly search?: string | undefined }
  /** Answered when the load has ended; its lines come as they are made. */
  | { readonly do: 'load'; readonly load: LoadCommand; readonly pod: { readonly uid: string } }
  | { readonly do: 'end-load'; readonly stop: StopCommand; readonly pod: { readonly uid: string } }
  | { readonly do: 'stop' }
)

/** Payload of a reply frame. `result`: of `watch` the labels of the watched namespaces; of `request`, `server`, `load` and `end-load` what the app answered. */
export interface CollectorReply {
  readonly id: string
  readonly ok: boolean
  readonly error?: string
  readonly result?: unknown
}

/** The name of a pod's namespace in the bundle. */
export function netnsLabel(pod: { readonly namespace: string; readonly name: string }): string {
  return `${pod.namespace}.${pod.name}`
}

/** The node's own. */
export const nodeLabel = 'node'
