/** What conversion knows of the mesh besides its objects. */
export interface MeshSettings {
  readonly clusterId: string
  /** The mesh's own namespace: policies there hold everywhere. */
  readonly rootNamespace: string
  readonly trustDomain: string
  /** Name of this cluster's network; empty: the only one. */
  readonly network: string
  /** Of service names: `svc.ns.svc.<domain>`. */
  readonly domain: string
}
