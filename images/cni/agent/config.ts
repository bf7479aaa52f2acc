import { parse } from 'yaml'
import { defaultSelectors, type EnablementSelector } from '../shared/eligibility.ts'

/** The agent's settings. Names of environment variables are upstream's, but for AMBIENT_REDIRECT_MODE, MESH_RELEASE and CNI_PLUGIN_FILE. */
export interface AgentConfig {
  readonly nodeName: string
  readonly podNamespace: string
  readonly ambientEnabled: boolean
  readonly redirectMode: string
  /** Whose behaviour is followed. */
  readonly release: string
  readonly dnsCapture: boolean
  readonly ipv6: boolean
  readonly excludeNamespaces: readonly string[]
  readonly selectors: readonly EnablementSelector[]
  readonly detectionRetry: boolean
  readonly logLevel: 'debug' | 'info' | 'warn' | 'error'
  /** Directories, as this process sees them. */
  readonly cniNetDir: string
  readonly cniBinDir: string
  readonly runDir: string
  readonly hostProc: string
  /** Prefix under which the node's /var/run/netns is mounted. */
  readonly hostRoot: string
  /** A file name in cniNetDir instead of the first one. */
  readonly cniConfName: string | undefined
  /** The executable that is installed as the plugin; undefined: its source, run by this Node. */
  readonly pluginFile: string | undefined
  readonly zdsSocket: string
  /** Where modes that program the node tell the plugin how it stands. */
  readonly ambientConfigDir: string
  readonly daemonSet: string
  readonly healthPort: number
  readonly metricsPort: number
  readonly probeAddress: { readonly v4: string | undefined; readonly v6: string | undefined }
  readonly forceIptables: string | undefined
  readonly serviceAccountDir: string
  readonly apiServer: { readonly host: string; readonly port: string }
}

/** @throws Error that names each variable that is missing or wrong, and what it should be */
export function readConfig(env: Readonly<Record<string, string | undefined>>): AgentConfig {
  const problems: string[] = []
  const need = (name: string, what: string) => {
    const value = env[name]
    if (!value) problems.push(`${name} is not set: ${what}`)
    return value ?? ''
  }
  const flag = (name: string, fallback: boolean) => {
    const value = env[name]
    if (value !== undefined && value !== '' && value !== 'true' && value !== 'false')
      problems.push(`${name} is ${JSON.stringify(value)}: expected true or false`)
    return value === undefined || value === '' ? fallback : value === 'true'
  }
  const levels = ['debug', 'info', 'warn', 'error'] as const
  const logLevel = levels.find((l) => l === (env.LOG_LEVEL || 'info'))
  if (!logLevel) problems.push(`LOG_LEVEL is ${JSON.stringify(env.LOG_LEVEL)}: expected ${levels.join(', ')}`)
  const port = (name: string, fallback: number) => {
    const value = Number(env[name] || fallback)
    if (!Number.isInteger(value) || value < 0 || value > 65535)
      problems.push(`${name} is ${JSON.stringify(env[name])}: expected a port number`)
    return value
  }
  const config: AgentConfig = {
    nodeName: need('NODE_NAME', 'the name of this node (downward API, spec.nodeName)'),
    podNamespace: env.POD_NAMESPACE || 'istio-system',
    ambientEnabled: flag('AMBIENT_ENABLED', true),
    redirectMode: env.AMBIENT_REDIRECT_MODE || 'inpod',
    release: env.MESH_RELEASE || 'today',
    dnsCapture: flag('AMBIENT_DNS_CAPTURE', true),
    ipv6: flag('AMBIENT_IPV6', true),
    excludeNamespaces: (env.EXCLUDE_NAMESPACES ?? 'kube-system')
      .split(',')
      .map((x) => x.trim())
      .filter((x) => x !== ''),
    selectors: readSelectors(env.AMBIENT_ENABLEMENT_SELECTOR, problems),
    detectionRetry: flag('ENABLE_AMBIENT_DETECTION_RETRY', false),
    logLevel: logLevel ?? 'info',
    cniNetDir: env.MOUNTED_CNI_NET_DIR || '/host/etc/cni/net.d',
    cniBinDir: env.MOUNTED_CNI_BIN_DIR || '/host/opt/cni/bin',
    runDir: env.CNI_AGENT_RUN_DIR || '/var/run/istio-cni',
    hostProc: env.HOST_PROC || '/host/proc',
    hostRoot: env.HOST_ROOT ?? '/host',
    cniConfName: env.CNI_CONF_NAME || undefined,
    pluginFile: env.CNI_PLUGIN_FILE || undefined,
    zdsSocket: env.ZDS_SERVER_SOCKET || '/var/run/ztunnel/ztunnel.sock',
    ambientConfigDir: env.AMBIENT_CONFIG_DIR || '/etc/ambient-config',
    daemonSet: env.CNI_DAEMONSET_NAME || 'istio-cni-node',
    healthPort: port('HEALTH_PORT', 8000),
    metricsPort: port('MONITORING_PORT', 15014),
    probeAddress: { v4: env.HOST_PROBE_SNAT_IP || undefined, v6: env.HOST_PROBE_SNAT_IPV6 || undefined },
    forceIptables: env.FORCE_IPTABLES_BINARY || undefined,
    serviceAccountDir: env.SERVICE_ACCOUNT_DIR || '/var/run/secrets/kubernetes.io/serviceaccount',
    apiServer: {
      host: need('KUBERNETES_SERVICE_HOST', 'the address of the API server'),
      port: need('KUBERNETES_SERVICE_PORT', 'the port of the API server'),
    },
  }
  if (problems.length > 0) throw new Error(`settings of the CNI agent: ${problems.join('; ')}`)
  return config
}

/** AMBIENT_ENABLEMENT_SELECTOR: a list of selectors as YAML or JSON; both keys of each are written out, as upstream does. */
function readSelectors(text: string | undefined, problems: string[]): readonly EnablementSelector[] {
  if (!text) return defaultSelectors
  try {
    const list: unknown = parse(text)
    if (Array.isArray(list) && list.every((s) => typeof s === 'object' && s !== null))
      return list.map((s: EnablementSelector) => ({ podSelector: s.podSelector ?? {}, namespaceSelector: s.namespaceSelector ?? {} }))
  } catch {
    // Said below.
  }
  problems.push(`AMBIENT_ENABLEMENT_SELECTOR is ${JSON.stringify(text)}: expected a YAML list of {podSelector, namespaceSelector}`)
  return defaultSelectors
}

/** Upstream's settings that ask for something that this agent does not do, each with what happens instead. */
export function unsupported(env: Readonly<Record<string, string | undefined>>): string[] {
  const table: [name: string, value: string, instead: string][] = [
    ['AMBIENT_RECONCILE_POD_RULES_ON_STARTUP', 'false', 'rules of enrolled pods are always verified at start'],
    ['CHAINED_CNI_PLUGIN', 'false', 'the plugin is chained to the primary one'],
    ['NATIVE_NFTABLES', 'true', 'iptables is used'],
    ['REPAIR_ENABLED', 'true', 'pods with sidecars are not looked at'],
    ['ISTIO_OWNED_CNI_CONFIG', 'true', "the primary plugin's file is edited"],
  ]
  return table
    .filter(([name, value]) => env[name] === value)
    .map(([name, value, instead]) => `${name}=${value} is not supported: ${instead}`)
}
