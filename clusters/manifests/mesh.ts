import type { KubernetesObject } from '../kubernetes.ts'
import { cniManifests } from './cni.ts'
import { configured } from './configured.ts'
import { customResourceDefinitions } from './custom-resources.ts'
import { istiodManifests } from './istiod.ts'
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

/** A mesh that cannot be made: which, and the fix. */
export class MeshError extends Error {
  override name = 'MeshError'
}

/** The modes that can be installed, with their releases. */
const releases: Readonly<Record<string, readonly string[]>> = { inpod: ['today', '1.21'] }

/** Everything the mesh is made of, in the order in which it can be applied: what the others wait for comes first. */
export function meshManifests(options: MeshOptions): KubernetesObject[] {
  const { release, mode } = options
  const known = releases[mode]
  if (!known) throw new MeshError(`mode ${JSON.stringify(mode)} is not known; fix: use ${Object.keys(releases).join(' or ')}`)
  if (!known.includes(release))
    throw new MeshError(`release ${JSON.stringify(release)} is not known in mode ${mode}; fix: use ${known.join(' or ')}`)
  return [
    ...customResourceDefinitions,
    namespace(meshNamespace),
    ...configured('discovery', istiodManifests(options), options),
    ...configured('ztunnel', ztunnelManifests(options), options),
    ...configured('cni', cniManifests(options), options),
  ]
}
