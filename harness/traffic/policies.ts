import type { KubernetesObject } from '../../clusters/kubernetes.ts'

/** Which pods an AuthorizationPolicy is for: by the label that the topology gives each pod. */
interface Target {
  readonly name: string
  readonly namespace: string
}

function policy(name: string, target: Target, spec: Record<string, unknown>): KubernetesObject {
  return {
    apiVersion: 'security.istio.io/v1',
    kind: 'AuthorizationPolicy',
    metadata: { name: `everyhop-${name}-${target.name}`, namespace: target.namespace },
    spec: { selector: { matchLabels: { app: target.name } }, ...spec },
  }
}

/** Only this principal may talk to the target. */
export const allowOnly = (target: Target, principal: string): KubernetesObject =>
  policy('allow', target, { action: 'ALLOW', rules: [{ from: [{ source: { principals: [principal] } }] }] })

/** No pod of the namespace takes plaintext. */
export const strictIn = (namespace: string): KubernetesObject => ({
  apiVersion: 'security.istio.io/v1',
  kind: 'PeerAuthentication',
  metadata: { name: 'everyhop-strict', namespace },
  spec: { mtls: { mode: 'STRICT' } },
})

/** Nobody may: a DENY for all ports that the target serves. */
export const denyAll = (target: Target, ports: readonly number[]): KubernetesObject =>
  policy('deny', target, { action: 'DENY', rules: [{ to: [{ operation: { ports: ports.map(String) } }] }] })
