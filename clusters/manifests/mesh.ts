import type { KubernetesObject } from '../kubernetes.ts'
import { cniManifests } from './cni.ts'
import { meshNamespace } from './names.ts'
import { namespace } from './objects.ts'
import { ztunnelManifests } from './ztunnel.ts'

export interface MeshOptions {
  /** Whose behaviour the mesh follows. */
  readonly release: 'today'
  readonly mode: 'inpod'
  /** Pods' DNS queries go to ztunnel. @default true, as upstream's `values.cni.ambient.dnsCapture` */
  readonly dnsCapture?: boolean
  /** IPv6 rules too. @default true, as upstream's `values.cni.ambient.ipv6` */
  readonly ipv6?: boolean
}

/** Everything the mesh is made of except the CA's Secret and the workloads' ConfigMap, in the order in which it can be applied. */
export function meshManifests(options: MeshOptions): KubernetesObject[] {
  return [namespace(meshNamespace), ...cniManifests(options), ...ztunnelManifests(options)]
}
