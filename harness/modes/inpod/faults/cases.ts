/** The cases that faults are looked for with. */
export const sealed = 'mesh-to-mesh/other-node/pod-ip/http'
export const sealedTcp = 'mesh-to-mesh/other-node/pod-ip/tcp'
export const passed = 'mesh-to-plain/other-node/cluster-ip/http'
export const entered = 'plain-to-mesh/same-node/pod-ip/http'
export const probe = 'probe/same-node/pod-ip/http'
export const denied = 'mesh-to-mesh/other-node/pod-ip/http/denied'
export const allowed = 'mesh-to-mesh/other-node/pod-ip/http/allowed'
export const pooled = 'mesh-to-mesh/other-node/pod-ip/http/pooled'
export const byService = 'mesh-to-mesh/other-node/cluster-ip/http'
export const strictPlain = 'plain-to-mesh/same-node/pod-ip/http/strict'
export const strictMesh = 'mesh-to-mesh/same-node/pod-ip/http/strict'
export const forged = (how: string) => `forged/other-node/pod-ip/http/${how}`
export const direct = (how: string, placement = 'other-node') => `direct/${placement}/pod-ip/tcp/${how}`
export const overTcp = (exchange: string) => `mesh-to-mesh/other-node/pod-ip/tcp/${exchange}`
export const http2 = 'mesh-to-mesh/other-node/pod-ip/http2'
export const datagram = 'mesh-to-mesh/other-node/pod-ip/udp'
export const itself = (address: string) => `self/same-node/${address}/http`
export const question = (which: string) => `mesh-to-dns/same-node/cluster-ip/dns/${which}`
export const headless = 'mesh-to-mesh/other-node/headless/http'
export const impostor = 'mesh-to-impostor/other-node/pod-ip/http'
export const revoked = 'mesh-to-mesh/same-node/pod-ip/http/revoked'
export const clientEndsFirst = 'mesh-to-mesh/other-node/pod-ip/tcp/client-half-close'
