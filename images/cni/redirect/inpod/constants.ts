/** Constants of Istio's in-pod mode; all are on the wire or in the kernel, so they are upstream's to the bit. */

/** Set by ztunnel on every socket it opens: from the proxy, not to be captured. */
export const proxyMark = '0x539/0xfff'
/** Connection and packet mark of replies to connections that the proxy opened with a foreign source: deliver locally. */
export const replyMark = '0x111/0xfff'
export const replyRulePriority = 32764
export const replyTable = 100

export const outboundPort = 15001
export const inboundPort = 15006
export const hbonePort = 15008
export const dnsPort = 15053

export const outputChain = 'ISTIO_OUTPUT'
export const preroutingChain = 'ISTIO_PRERT'
export const postroutingChain = 'ISTIO_POSTRT'

/** Node addresses that the kubelet's probes are given, so that pods let them by (environment HOST_PROBE_SNAT_IP, HOST_PROBE_SNAT_IPV6). */
export const defaultProbeAddress = { v4: '169.254.7.127', v6: 'fd16:9254:7127:1337:ffff:ffff:ffff:ffff' } as const

export const loopback = { v4: '127.0.0.1/32', v6: '::1/128' } as const
export const prefixLength = { v4: 32, v6: 128 } as const
