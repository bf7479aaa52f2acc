import { parseLocalState } from '../state/local-schema.ts'
import { MeshState } from '../state/store.ts'

/** A state from local YAML. */
export function mesh(yaml: string): MeshState {
  const state = new MeshState()
  state.replace(parseLocalState(yaml, 'test'))
  return state
}

/**
 * A small mesh: `sleep` 10.0.0.1 and `httpbin` 10.0.0.2 (HBONE), `httpbin-2` 10.0.0.3 (HBONE), `plain` 10.0.0.4 (TCP), `far` 10.0.0.5 in another network,
 * services httpbin (10.96.0.80:80 → 8080), plain (10.96.0.81), waypointed (10.96.0.82), empty (10.96.0.83), heads (headless).
 */
export const smallMesh = `
workloads:
  - { uid: sleep, name: sleep, namespace: demo, serviceAccount: sleep, workloadIps: [10.0.0.1], protocol: HBONE, node: n1 }
  - uid: httpbin
    name: httpbin
    namespace: demo
    serviceAccount: httpbin
    workloadIps: [10.0.0.2, 'fd00::2']
    protocol: HBONE
    node: n1
    services: { demo/httpbin.demo.svc.cluster.local: { 80: 8080 }, demo/heads.demo.svc.cluster.local: { 80: 8080 } }
  - uid: httpbin-2
    name: httpbin-2
    namespace: demo
    serviceAccount: httpbin
    workloadIps: [10.0.0.3]
    protocol: HBONE
    node: n2
    services: { demo/httpbin.demo.svc.cluster.local: { 80: 8081 }, demo/heads.demo.svc.cluster.local: { 80: 8081 } }
  - uid: plain
    name: plain
    namespace: other
    workloadIps: [10.0.0.4]
    node: n2
    services: { other/plain.other.svc.cluster.local: { 80: 8080 }, demo/named.demo.svc.cluster.local: {} }
  - { uid: far, name: far, namespace: demo, workloadIps: [10.0.0.5], protocol: HBONE, network: elsewhere, services: { demo/far.demo.svc.cluster.local: { 80: 80 } } }
  - { uid: behind, name: behind, namespace: demo, workloadIps: [10.0.0.6], protocol: HBONE, waypoint: { destination: demo/waypoint.demo.svc.cluster.local } }
  - { uid: waypoint, name: waypoint, namespace: demo, serviceAccount: waypoint, workloadIps: [10.0.0.7], protocol: HBONE, services: { demo/waypoint.demo.svc.cluster.local: { 15008: 15008 } } }
  - { uid: sick, name: sick, namespace: demo, workloadIps: [10.0.0.8], protocol: HBONE, status: Unhealthy, services: { demo/empty.demo.svc.cluster.local: { 80: 80 } } }
services:
  - { name: httpbin, namespace: demo, hostname: httpbin.demo.svc.cluster.local, vips: [/10.96.0.80, '/fd00:96::80'], ports: { 80: 8080 } }
  - { name: heads, namespace: demo, hostname: heads.demo.svc.cluster.local, ports: { 80: 8080 } }
  - { name: plain, namespace: other, hostname: plain.other.svc.cluster.local, vips: [/10.96.0.81], ports: { 80: 8080 } }
  - { name: waypointed, namespace: demo, hostname: waypointed.demo.svc.cluster.local, vips: [/10.96.0.82], ports: { 80: 8080 }, waypoint: { destination: demo/waypoint.demo.svc.cluster.local } }
  - { name: empty, namespace: demo, hostname: empty.demo.svc.cluster.local, vips: [/10.96.0.83], ports: { 80: 80 } }
  - { name: pass, namespace: demo, hostname: pass.demo.svc.cluster.local, vips: [/10.96.0.84], ports: { 80: 80 }, loadBalancer: { mode: Passthrough } }
  - { name: waypoint, namespace: demo, hostname: waypoint.demo.svc.cluster.local, vips: [/10.96.0.85], ports: { 15008: 15008 } }
  - { name: far, namespace: demo, hostname: far.demo.svc.cluster.local, vips: [/10.96.0.86], ports: { 80: 80 } }
  - { name: named, namespace: demo, hostname: named.demo.svc.cluster.local, vips: [/10.96.0.87], ports: { 80: 0 } }
`
