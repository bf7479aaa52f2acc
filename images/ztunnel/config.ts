import { defaultTrustDomain } from '../lib/identity.ts'
import { type ControlPlaneSettings, controlPlaneSettings } from './control-plane/settings.ts'
import { type LogFilter, logLevels, parseLogFilter } from './log-filter.ts'

/** What ztunnel is told by its environment. Names and defaults are upstream's (Istio ztunnel, src/config.rs). */
export interface Config {
  /** ZDS socket of the node agent. */
  readonly inpodUds: string
  readonly controlPlane: ControlPlaneSettings
  /** Debug form without an xDS server: a YAML file with workloads, services and policies. */
  readonly localXdsPath: string
  /** Debug form without a CA server: a directory with ca-cert.pem, ca-key.pem, root-cert.pem. */
  readonly localCaDir: string
  /** SO_MARK of every socket in a pod. */
  readonly packetMark: number
  readonly inpodPortReuse: boolean
  /** true: transparent listeners are required; false: sources are never kept; undefined: best effort. */
  readonly requireOriginalSource: boolean | undefined
  readonly ipv6Enabled: boolean
  readonly dnsProxy: boolean
  readonly poolMaxStreams: number
  /** Milliseconds, as all durations here. */
  readonly poolUnusedRelease: number
  readonly terminationDeadline: number
  readonly secretTtl: number
  readonly windowSize: number
  readonly connectionWindowSize: number
  readonly frameSize: number
  readonly responseBaggage: boolean
  readonly logFormat: 'plain' | 'json'
  readonly logFilter: LogFilter
  readonly nodeName: string
  readonly podName: string
  readonly podNamespace: string
  readonly serviceAccount: string
  readonly clusterId: string
  readonly network: string
  readonly trustDomain: string
  readonly clusterDomain: string
  readonly resolvConf: string
  readonly release: string
}

/** Ports of the listeners in each pod, and of ztunnel's own (fact sheet: in-pod mode, 4.1). */
export const ports = { outbound: 15001, plaintext: 15006, hbone: 15008, dns: 15053, admin: 15000, stats: 15020, readiness: 15021 } as const
/** Targets that would make ztunnel call itself without end. */
export const illegalPorts: readonly number[] = [ports.outbound, ports.plaintext, ports.hbone]
/** Connect and handshake time-out, milliseconds. */
export const connectTimeout = 10_000
/** How long a connection waits for the record of its own workload, milliseconds. */
export const ownWorkloadTimeout = 5_000

/** Bad environment: all that is wrong with it, one line each. */
export class ConfigError extends Error {
  constructor(problems: readonly string[]) {
    super(`ztunnel's environment is not usable:\n${problems.map((p) => `  ${p}`).join('\n')}`)
    this.name = 'ConfigError'
  }
}

/** @throws ConfigError naming every bad variable and what it may be */
export function loadConfig(env: Readonly<Record<string, string | undefined>>): Config {
  const problems: string[] = []
  const text = (name: string, fallback: string) => env[name] ?? fallback
  const parse = <T>(name: string, fallback: T, read: (value: string) => T | undefined, form: string): T => {
    const value = env[name]
    if (value === undefined || value === '') return fallback
    const result = read(value)
    if (result === undefined) problems.push(`${name}=${JSON.stringify(value)}: expected ${form}`)
    return result ?? fallback
  }
  const flag = (name: string, fallback: boolean) => parse(name, fallback, readFlag, 'true or false')
  const whole = (name: string, fallback: number, low: number, high: number) =>
    parse(name, fallback, (v) => readWhole(v, low, high), `a whole number from ${low} to ${high}`)
  const time = (name: string, fallback: number) => parse(name, fallback, readDuration, 'a duration such as 500ms, 10s, 5m or 24h')
  const local = (name: string, server: string, why: string) => {
    if (env[server] === '' && !env[name]) problems.push(`${name} is not set, and ${server} is empty: ${why}`)
    return env[name] ?? ''
  }
  const controlPlane = controlPlaneSettings(env, problems)
  const grace = whole('TERMINATION_GRACE_PERIOD_SECONDS', 0, 1, 86_400)
  const config: Config = {
    inpodUds: text('INPOD_UDS', '/var/run/ztunnel/ztunnel.sock'),
    controlPlane,
    localXdsPath: local('LOCAL_XDS_PATH', 'XDS_ADDRESS', 'the YAML file with workloads, services and policies'),
    localCaDir: local('LOCAL_CA_DIR', 'CA_ADDRESS', 'the directory with ca-cert.pem, ca-key.pem and root-cert.pem'),
    packetMark: whole('PACKET_MARK', 1337, 1, 0xffffffff),
    inpodPortReuse: flag('INPOD_PORT_REUSE', true),
    requireOriginalSource: parse<boolean | undefined>('ENABLE_ORIG_SRC', undefined, readFlag, 'true or false'),
    ipv6Enabled: flag('IPV6_ENABLED', true),
    dnsProxy: flag('ISTIO_META_DNS_CAPTURE', true),
    poolMaxStreams: whole('POOL_MAX_STREAMS_PER_CONNECTION', 100, 1, 65_535),
    poolUnusedRelease: time('POOL_UNUSED_RELEASE_TIMEOUT', 300_000),
    terminationDeadline: time('CONNECTION_TERMINATION_DEADLINE', deadlineFromGrace(grace)),
    secretTtl: time('SECRET_TTL', 86_400_000),
    windowSize: whole('HTTP2_STREAM_WINDOW_SIZE', 4 << 20, 65_535, 0x7fffffff),
    connectionWindowSize: whole('HTTP2_CONNECTION_WINDOW_SIZE', 16 << 20, 65_535, 0x7fffffff),
    frameSize: whole('HTTP2_FRAME_SIZE', 1 << 20, 16_384, 0xffffff),
    responseBaggage: flag('ENABLE_RESPONSE_BAGGAGE', true),
    logFormat: parse('LOG_FORMAT', 'plain' as const, (v) => (v === 'plain' || v === 'json' ? v : undefined), 'plain or json') as
      | 'plain'
      | 'json',
    logFilter: parse<LogFilter>(
      'RUST_LOG',
      { level: 'info', scopes: {} },
      parseLogFilter,
      `${logLevels.join(', ')}, and SCOPE=LEVEL, separated by commas`,
    ),
    nodeName: text('NODE_NAME', ''),
    podName: text('POD_NAME', ''),
    podNamespace: text('POD_NAMESPACE', ''),
    serviceAccount: text('SERVICE_ACCOUNT', ''),
    clusterId: text('CLUSTER_ID', text('ISTIO_META_CLUSTER_ID', 'Kubernetes')),
    network: text('NETWORK', ''),
    trustDomain: text('TRUST_DOMAIN', defaultTrustDomain),
    clusterDomain: text('CLUSTER_DOMAIN', 'cluster.local'),
    resolvConf: text('RESOLV_CONF', '/etc/resolv.conf'),
    release: text('MESH_RELEASE', 'today'),
  }
  if (problems.length > 0) throw new ConfigError(problems)
  return config
}

/** Upstream's rule from the pod's grace period n (seconds): n−5 above 10, else n−1, at least 1; 5 s if unknown. */
function deadlineFromGrace(n: number): number {
  if (n === 0) return 5_000
  return Math.max(1, n > 10 ? n - 5 : n - 1) * 1000
}

function readFlag(value: string): boolean | undefined {
  return value === 'true' ? true : value === 'false' ? false : undefined
}

function readWhole(value: string, low: number, high: number): number | undefined {
  if (!/^\d+$/.test(value)) return undefined
  const n = Number(value)
  return n >= low && n <= high ? n : undefined
}

const units = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 } as const

function readDuration(value: string): number | undefined {
  const found = /^(\d+(?:\.\d+)?)(ms|s|m|h)$/.exec(value)
  return found ? Math.round(Number(found[1]) * units[found[2] as keyof typeof units]) : undefined
}
