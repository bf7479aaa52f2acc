import type { Config } from './config.ts'
import { ownSockets } from './own-sockets.ts'
import type { Placement } from './placement.ts'

/** What differs between the releases whose behaviour ztunnel can follow. The only place that knows; everything else asks this table. */
export interface Release {
  readonly name: string
  /** ZDS AddWorkload must carry workload_info (since 1.23). Without it a pod's record is the one that has its address. */
  readonly workloadInfoRequired: boolean
  /** A deleted pod's proxy finishes its connections first (1.21) instead of stopping at once. */
  readonly drainDeletedPods: boolean
  /** The pod's rules hand connections over by TPROXY (to 1.23), which the kernel does only to transparent listeners. */
  readonly listenersMustBeTransparent: boolean
  /** Where questions are asked that the mesh cannot answer: from the pod (since 1.24), or from ztunnel's own namespace. */
  readonly dnsSockets: (pod: Placement) => Pick<Placement, 'bindUdp' | 'dial'>
  /** One proxy in ztunnel's own namespace serves all pods of the node (to 1.20), instead of one in each pod. */
  readonly sharedProxy: boolean
  /** `/config_dump` has the form of 2023. */
  readonly dumpOf2023: boolean
  /** The node whose pods are reached without a tunnel: where one proxy serves both ends (fact sheet: iptables mode, 2.5); undefined: none. */
  readonly localNode: (config: Config) => string | undefined
  /** Log lines of a pod's life, and what is told of the settings at start (fact sheet: in-pod mode, 3.4). */
  readonly lines: {
    readonly started: (config: Config) => readonly string[]
    readonly added: (uid: string) => string
    readonly kept: string
    readonly deleted: string
    readonly snapshot: string
  }
}

const kept = 'pod keep received. will not delete it when snapshot is sent'

/** No agent tells of pods: the node's proxy learns of them from the control plane. */
const noPods = { started: () => [], added: (uid: string) => uid, kept, deleted: '', snapshot: '' }

const releases: Readonly<Record<string, Omit<Release, 'name'>>> = {
  today: {
    workloadInfoRequired: true,
    drainDeletedPods: false,
    listenersMustBeTransparent: false,
    dnsSockets: (pod) => pod,
    sharedProxy: false,
    dumpOf2023: false,
    localNode: () => undefined,
    lines: {
      started: () => [],
      added: () => 'pod received, starting proxy',
      kept,
      deleted: 'pod delete request, shutting down proxy',
      snapshot: 'received snapshot sent',
    },
  },
  '1.20': {
    workloadInfoRequired: false,
    drainDeletedPods: true,
    listenersMustBeTransparent: true,
    dnsSockets: () => ownSockets,
    sharedProxy: true,
    dumpOf2023: true,
    localNode: (config) => config.nodeName,
    lines: noPods,
  },
  '1.21': {
    workloadInfoRequired: false,
    drainDeletedPods: true,
    listenersMustBeTransparent: true,
    dnsSockets: () => ownSockets,
    sharedProxy: false,
    dumpOf2023: false,
    localNode: () => undefined,
    lines: {
      started: (config) => [
        'inpod_enabled: true',
        `inpod_uds: ${config.inpodUds}`,
        `inpod_port_reuse: ${config.inpodPortReuse}`,
        `inpod_mark: ${config.packetMark}`,
      ],
      added: (uid) => `pod WorkloadUid(${JSON.stringify(uid)}) received netns, starting proxy`,
      kept,
      deleted: 'pod delete request, draining proxy',
      snapshot: 'pod received snapshot sent',
    },
  },
}

/** @throws Error that names the releases there are */
export function releaseNamed(name: string): Release {
  const release = releases[name]
  if (!release) throw new Error(`MESH_RELEASE=${JSON.stringify(name)}: known are ${Object.keys(releases).join(', ')}`)
  return { name, ...release }
}
