import { X509Certificate } from 'node:crypto'
import type { Certificates } from './certificates.ts'
import { type Config, illegalPorts, ports } from './config.ts'
import type { ControlPlaneServer } from './control-plane/settings.ts'
import type { PodManager } from './manager.ts'
import type { MeshState } from './state/store.ts'
import { type Service, serviceKey, type Workload } from './state/types.ts'

/** `/config_dump` in upstream's form of today (fact sheet: in-pod mode, 4.10). */
export function configDump(config: Config, state: MeshState, certificates: Certificates, manager: PodManager): unknown {
  return {
    workloads: [...state.workloads.values()].map(workload),
    services: [...state.services.values()].map((s) => service(state, s)),
    policies: [...state.policies.values()],
    stagedServices: Object.fromEntries([...state.staged()].map(([key, endpoints]) => [key, Object.fromEntries(endpoints)])),
    staticConfig: { workloads: [], services: [], policies: [] },
    version: {
      version: 'unknown',
      gitRevision: 'unknown',
      rustVersion: '',
      buildProfile: 'release',
      buildStatus: 'Clean',
      istioVersion: 'unknown',
    },
    config: configuration(config),
    certificates: certificates.all().map(certificate),
    workloadState: Object.fromEntries(
      [...manager.pods.values()].map((pod) => [
        pod.uid,
        {
          state: pod.proxy ? 'Up' : 'Pending',
          connections: { inbound: pod.proxy?.connections.dump('inbound') ?? [], outbound: pod.proxy?.connections.dump('outbound') ?? [] },
          info: pod.info,
        },
      ]),
    ),
  }
}

/** Empty values are left out, as upstream does. */
function workload(w: Workload): unknown {
  const { services, ...rest } = w
  const keys = Object.keys(services)
  return Object.fromEntries(
    Object.entries({ ...rest, services: keys.length > 0 ? keys : undefined }).filter(
      ([, v]) => v !== undefined && v !== '' && v !== false && !(Array.isArray(v) && v.length === 0),
    ),
  )
}

function service(state: MeshState, s: Service): unknown {
  return { ...s, endpoints: Object.fromEntries(state.endpointsOf(serviceKey(s))) }
}

function certificate({ identity, state, leaf }: ReturnType<Certificates['all']>[number]): unknown {
  if (!leaf) return { identity, state, certChain: [], rootCerts: [] }
  const split = (pem: string) => (pem.match(/-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g) ?? []).map(describe)
  return { identity, state, certChain: split(leaf.chainPem), rootCerts: split(leaf.rootPem) }
}

function describe(pem: string): unknown {
  const certificate = new X509Certificate(pem)
  return {
    pem: Buffer.from(`${pem}\n`).toString('base64'),
    serialNumber: BigInt(`0x${certificate.serialNumber}`).toString(),
    validFrom: seconds(certificate.validFromDate),
    expirationTime: seconds(certificate.validToDate),
  }
}

const seconds = (date: Date) => date.toISOString().replace(/\.\d+Z$/, 'Z')
const duration = (ms: number) => ({ secs: Math.floor(ms / 1000), nanos: (ms % 1000) * 1_000_000 })

const address = (server: ControlPlaneServer | undefined) => (server ? `https://${server.host}:${server.port}` : null)

/** The settings as upstream's dump tells them. */
export function configuration(c: Config): unknown {
  return {
    proxy: true,
    dnsProxy: c.dnsProxy,
    windowSize: c.windowSize,
    connectionWindowSize: c.connectionWindowSize,
    frameSize: c.frameSize,
    poolMaxStreamsPerConn: c.poolMaxStreams,
    poolUnusedReleaseTimeout: duration(c.poolUnusedRelease),
    adminAddr: { Localhost: [true, ports.admin] },
    statsAddr: { SocketAddr: `[::]:${ports.stats}` },
    readinessAddr: { SocketAddr: `[::]:${ports.readiness}` },
    inboundAddr: `[::]:${ports.hbone}`,
    inboundPlaintextAddr: `[::]:${ports.plaintext}`,
    outboundAddr: `[::]:${ports.outbound}`,
    dnsProxyAddr: { Localhost: [true, ports.dns] },
    socks5Addr: null,
    illegalPorts,
    network: c.network,
    localNode: c.nodeName,
    proxyMode: 'Shared',
    clusterId: c.clusterId,
    clusterDomain: c.clusterDomain,
    caAddress: address(c.controlPlane.ca),
    caRootCert: c.controlPlane.ca ? { File: c.controlPlane.ca.rootCa } : null,
    altCaHostname: c.controlPlane.ca?.alternativeHost ?? null,
    xdsAddress: address(c.controlPlane.xds),
    xdsRootCert: c.controlPlane.xds ? { File: c.controlPlane.xds.rootCa } : null,
    altXdsHostname: c.controlPlane.xds?.alternativeHost ?? null,
    xdsOnDemand: false,
    proxyMetadata: c.controlPlane.nodeMetadata,
    localXdsPath: c.localXdsPath || null,
    localCaDir: c.localCaDir || null,
    secretTtl: duration(c.secretTtl),
    selfTerminationDeadline: duration(c.terminationDeadline),
    inpodUds: c.inpodUds,
    inpodPortReuse: c.inpodPortReuse,
    packetMark: c.packetMark,
    requireOriginalSource: c.requireOriginalSource ?? null,
    ipv6Enabled: c.ipv6Enabled,
    fakeCa: false,
    socketConfig: {
      keepaliveEnabled: true,
      keepaliveTime: duration(180_000),
      keepaliveInterval: duration(180_000),
      keepaliveRetries: 9,
      userTimeoutEnabled: false,
    },
    ztunnelIdentity: `spiffe://${c.trustDomain}/ns/${c.podNamespace}/sa/${c.serviceAccount}`,
    ztunnelWorkload: { name: c.podName, namespace: c.podNamespace, serviceAccount: c.serviceAccount },
  }
}
