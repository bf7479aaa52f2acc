/** Names that the manifests, the providers and the harness share. */
export const meshNamespace = 'istio-system'
export const cniDaemonSet = 'istio-cni-node'
export const ztunnelDaemonSet = 'ztunnel'
export const istiodDeployment = 'istiod'
/** Where the control plane is reached: xDS and CA. */
export const istiodAddress = `https://istiod.${meshNamespace}.svc:15012`
/** ConfigMap with the mesh's root certificate, in every namespace. */
export const rootConfigMap = 'istio-ca-root-cert'
/** Secret with a CA that somebody plugged in, under upstream's key names. */
export const caSecret = 'cacerts'

export const image = {
  cni: 'everyhop/cni:dev',
  ztunnel: 'everyhop/ztunnel:dev',
  discovery: 'everyhop/discovery:dev',
  sleep: 'everyhop/sleep:dev',
  httpbin: 'everyhop/httpbin:dev',
} as const
