import type { Level } from './log.ts'

/** The control plane's settings. Names of environment variables are upstream's. */
export interface Config {
  readonly namespace: string
  readonly clusterId: string
  readonly trustDomain: string
  readonly domain: string
  readonly network: string
  readonly trustedNodeAccounts: readonly string[]
  readonly audience: string
  /** Milliseconds. */
  readonly defaultTtl: number
  readonly maxTtl: number
  readonly rootTtl: number
  readonly debounceAfter: number
  readonly debounceMax: number
  readonly maxConnectionAge: number
  readonly logLevel: Level
  readonly grpcPort: number
  readonly healthPort: number
  readonly metricsPort: number
  readonly apiServer: string
  readonly serviceAccountDir: string
}

type Environment = Readonly<Record<string, string | undefined>>

/** @throws Error that names each variable that is missing or wrong, and what it should be */
export function readConfig(env: Environment): Config {
  const problems: string[] = []
  const need = (name: string, what: string) => {
    if (!env[name]) problems.push(`${name} is not set: ${what}`)
    return env[name] ?? ''
  }
  const duration = (name: string, fallback: string) => {
    const found = durationMs(env[name] || fallback)
    if (found === undefined) problems.push(`${name} is ${JSON.stringify(env[name])}: expected a time such as 24h0m0s or 10ms`)
    return found ?? 0
  }
  const port = (name: string, fallback: number) => {
    const found = Number(env[name] || fallback)
    if (!Number.isInteger(found) || found < 0 || found > 65535)
      problems.push(`${name} is ${JSON.stringify(env[name])}: expected a port number`)
    return found
  }
  const levels = ['debug', 'info', 'warn', 'error'] as const
  const logLevel = levels.find((l) => l === (env.LOG_LEVEL || 'info'))
  if (!logLevel) problems.push(`LOG_LEVEL is ${JSON.stringify(env.LOG_LEVEL)}: expected ${levels.join(', ')}`)
  const namespace = env.POD_NAMESPACE || 'istio-system'
  const host = need('KUBERNETES_SERVICE_HOST', 'the address of the API server')
  const config: Config = {
    namespace,
    clusterId: env.CLUSTER_ID || 'Kubernetes',
    trustDomain: env.TRUST_DOMAIN || 'cluster.local',
    domain: env.KUBERNETES_DOMAIN || 'cluster.local',
    network: env.NETWORK || '',
    trustedNodeAccounts: (env.CA_TRUSTED_NODE_ACCOUNTS ?? `${namespace}/ztunnel`)
      .split(',')
      .map((x) => x.trim())
      .filter((x) => x !== ''),
    audience: env.TOKEN_AUDIENCES || 'istio-ca',
    defaultTtl: duration('DEFAULT_WORKLOAD_CERT_TTL', '24h'),
    maxTtl: duration('MAX_WORKLOAD_CERT_TTL', '2160h'),
    rootTtl: duration('CITADEL_SELF_SIGNED_CA_CERT_TTL', '87600h'),
    debounceAfter: duration('PILOT_DEBOUNCE_AFTER', '5ms'),
    debounceMax: duration('PILOT_DEBOUNCE_MAX', '100ms'),
    // A flag of upstream's program, which its chart sets.
    maxConnectionAge: duration('KEEPALIVE_MAX_SERVER_CONNECTION_AGE', '30m'),
    logLevel: logLevel ?? 'info',
    grpcPort: port('GRPC_PORT', 15012),
    healthPort: port('HEALTH_PORT', 8080),
    metricsPort: port('MONITORING_PORT', 15014),
    apiServer: `https://${host.includes(':') ? `[${host}]` : host}:${need('KUBERNETES_SERVICE_PORT', 'the port of the API server')}`,
    serviceAccountDir: env.SERVICE_ACCOUNT_DIR || '/var/run/secrets/kubernetes.io/serviceaccount',
  }
  for (const account of config.trustedNodeAccounts)
    if (!/^[^/]+\/[^/]+$/.test(account))
      problems.push(`CA_TRUSTED_NODE_ACCOUNTS holds ${JSON.stringify(account)}: expected namespace/name, separated by commas`)
  if (problems.length > 0) throw new Error(`settings of the control plane: ${problems.join('; ')}`)
  return config
}

/** Go's form of a time: `1h30m`, `10ms`. */
function durationMs(text: string): number | undefined {
  if (!/^(\d+(\.\d+)?(h|ms|m|s))+$/.test(text)) return undefined
  const units: Record<string, number> = { h: 3_600_000, m: 60_000, s: 1000, ms: 1 }
  return [...text.matchAll(/([\d.]+)(h|ms|m|s)/g)].reduce((sum, [, n, unit]) => sum + Number(n) * units[unit!]!, 0)
}
