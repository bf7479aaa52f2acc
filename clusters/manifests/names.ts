/** Names that the manifests, the providers and the harness share. */
export const meshNamespace = 'istio-system'
export const cniDaemonSet = 'istio-cni-node'
export const ztunnelDaemonSet = 'ztunnel'
export const istiodDeployment = 'istiod'
/** ConfigMap with the mesh's root certificate, in every namespace. */
export const rootConfigMap = 'istio-ca-root-cert'
/** ConfigMap with ztunnel's workloads and policies in its local form, key `local.yaml`. */
export const localXdsConfigMap = 'ztunnel-local-xds'
export const localXdsKey = 'local.yaml'
/** Secret with the CA that ztunnel signs its workloads' certificates with, under upstream's key names. */
export const caSecret = 'cacerts'

export const image = {
  cni: 'everyhop/cni:dev',
  ztunnel: 'everyhop/ztunnel:dev',
  discovery: 'everyhop/discovery:dev',
  sleep: 'everyhop/sleep:dev',
  httpbin: 'everyhop/httpbin:dev',
} as const
