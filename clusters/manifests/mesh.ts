import type { KubernetesObject } from '../kubernetes.ts'
import { cniManifests } from './cni.ts'
import { configured } from './configured.ts'
import { customResourceDefinitions } from './custom-resources.ts'
import { istiodManifests } from './istiod.ts'
import { modeParts } from './modes.ts'
import { meshNamespace } from './names.ts'
import { namespace } from './objects.ts'
import type { MeshSettings } from './values/settings.ts'
import { ztunnelManifests } from './ztunnel.ts'

export interface MeshOptions {
  /** Whose behaviour the mesh follows. */
  readonly release: string
  /** How traffic is redirected. */
  readonly mode: string
  /** Pods' DNS queries go to ztunnel. @default true, as upstream's `values.cni.ambient.dnsCapture` */
  readonly dnsCapture?: boolean
  /** IPv6 rules too. @default true, as upstream's `values.cni.ambient.ipv6` */
  readonly ipv6?: boolean
  /** What else a values file says. */
  readonly settings?: MeshSettings
}

/** Everything the mesh is made of, in the order in which it can be applied: what the others wait for comes first. @throws MeshError when there is no such mesh */
export function meshManifests(options: MeshOptions): KubernetesObject[] {
  modeParts(options)
  return [
    ...customResourceDefinitions,
    namespace(meshNamespace),
    ...configured('discovery', istiodManifests(options), options),
    ...configured('ztunnel', ztunnelManifests(options), options),
    ...configured('cni', cniManifests(options), options),
  ]
}
