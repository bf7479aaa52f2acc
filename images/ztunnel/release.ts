/** What differs between the releases whose behaviour ztunnel can follow. The only place that knows; everything else asks this table. */
export interface Release {
  readonly name: string
  /** ZDS AddWorkload must carry workload_info (since 1.23). */
  readonly workloadInfoRequired: boolean
  /** A deleted pod's proxy finishes its connections first (1.21) instead of stopping at once. */
  readonly drainDeletedPods: boolean
  /** Log lines of a pod's life (fact sheet: in-pod mode, 3.4). */
  readonly lines: { readonly added: string; readonly kept: string; readonly deleted: string; readonly snapshot: string }
}

const releases: Readonly<Record<string, Release>> = {
  today: {
    name: 'today',
    workloadInfoRequired: true,
    drainDeletedPods: false,
    lines: {
      added: 'pod received, starting proxy',
      kept: 'pod keep received. will not delete it when snapshot is sent',
      deleted: 'pod delete request, shutting down proxy',
      snapshot: 'received snapshot sent',
    },
  },
}

export function releaseNamed(name: string): Release {
  const release = releases[name]
  if (!release) throw new Error(`MESH_RELEASE=${JSON.stringify(name)}: known releases are ${Object.keys(releases).join(', ')}`)
  return release
}
