import type { KubernetesObject, Pod } from './kubernetes.ts'
import type { LocalPolicy } from './local-xds-policies.ts'

/** `security.istio.io/v1`, the fields that the conversion reads. */
export interface PeerAuthentication extends KubernetesObject {
  spec?: {
    selector?: { matchLabels?: Record<string, string> }
    mtls?: { mode?: string }
  }
}

/** What a workload that takes no plaintext is given, as Istio does: a DENY of whoever shows no identity. */
export const strictPolicy = (rootNamespace: string): LocalPolicy => ({
  name: 'istio_converted_static_strict',
  namespace: rootNamespace,
  scope: 'WorkloadSelector',
  action: 'Deny',
  rules: [[[{ notPrincipals: ['Presence'] }]]],
})

/** Whether a pod takes no plaintext: by the narrowest PeerAuthentication that says a mode (its own, its namespace's, the mesh's), the oldest of equals. */
export function isStrict(pod: Pod, all: readonly PeerAuthentication[], rootNamespace: string): boolean {
  const { namespace, labels = {} } = pod.metadata
  const age = (p: PeerAuthentication) => String(p.metadata.creationTimestamp ?? '')
  const said = all
    .filter((p) => p.spec?.mtls?.mode && p.spec.mtls.mode !== 'UNSET')
    .toSorted((a, b) => (age(a) < age(b) ? -1 : age(a) > age(b) ? 1 : 0))
  const selected = (p: PeerAuthentication) => {
    const wanted = Object.entries(p.spec?.selector?.matchLabels ?? {})
    return wanted.length > 0 && wanted.every(([key, value]) => labels[key] === value)
  }
  const general = (p: PeerAuthentication) => Object.keys(p.spec?.selector?.matchLabels ?? {}).length === 0
  const narrowest =
    said.find((p) => p.metadata.namespace === namespace && selected(p)) ??
    said.find((p) => p.metadata.namespace === namespace && general(p)) ??
    said.find((p) => p.metadata.namespace === rootNamespace && general(p))
  return narrowest?.spec?.mtls?.mode === 'STRICT'
}
