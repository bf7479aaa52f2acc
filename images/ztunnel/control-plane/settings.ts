/** How one server of the control plane is reached. */
export interface ControlPlaneServer {
  readonly host: string
  readonly port: number
  /** PEM file with the roots that may sign the server's certificate; read at each connection. */
  readonly rootCa: string
  /** The name that the certificate must have instead of `host`. */
  readonly alternativeHost: string | undefined
  /** Further request metadata (`XDS_HEADER_*`, `CA_HEADER_*`). */
  readonly headers: Readonly<Record<string, string>>
}

/** The control plane as ztunnel's environment describes it; a server that is undefined is replaced by its local debug form. */
export interface ControlPlaneSettings {
  readonly xds: ControlPlaneServer | undefined
  readonly ca: ControlPlaneServer | undefined
  /** Service-account token of audience `istio-ca`; read at each request, because the kubelet replaces it. */
  readonly tokenPath: string
  readonly instanceIp: string
  /** xDS node metadata from `ISTIO_META_*`. */
  readonly nodeMetadata: Readonly<Record<string, string>>
}

type Environment = Readonly<Record<string, string | undefined>>

/** Where upstream looks when it is told nothing (Istio ztunnel, src/config.rs). */
const defaultAddress = 'https://istiod.istio-system.svc:15012'
const defaultRootCa = './var/run/secrets/istio/root-cert.pem'
const defaultToken = './var/run/secrets/tokens/istio-token'
const defaultPort = 15012

/**
 * Reads the control plane's part of the environment. `XDS_ADDRESS` and `CA_ADDRESS` that are empty, or unset beside `LOCAL_XDS_PATH` and `LOCAL_CA_DIR`, mean the
 * local form.
 * @param problems gets a line for each bad variable
 */
export function controlPlaneSettings(env: Environment, problems: string[]): ControlPlaneSettings {
  const server = (kind: 'XDS' | 'CA', local: string): ControlPlaneServer | undefined => {
    const name = `${kind}_ADDRESS`
    const address = env[name] ?? (env[local] ? '' : defaultAddress)
    if (address === '') return undefined
    const url = URL.parse(address)
    if (
      url?.protocol !== 'https:' ||
      url.hostname === '' ||
      url.username !== '' ||
      !['', '/'].includes(url.pathname) ||
      url.search !== ''
    ) {
      problems.push(`${name}=${JSON.stringify(address)}: expected https://HOST:PORT, or nothing for the local form (${local})`)
      return undefined
    }
    return {
      host: url.hostname.replace(/^\[|\]$/g, ''),
      port: url.port === '' ? defaultPort : Number(url.port),
      rootCa: env[`${kind}_ROOT_CA`] || defaultRootCa,
      alternativeHost: env[`ALT_${kind}_HOSTNAME`] || undefined,
      headers: withPrefix(env, `${kind}_HEADER_`, (header) => header.toLowerCase()),
    }
  }
  return {
    xds: server('XDS', 'LOCAL_XDS_PATH'),
    ca: server('CA', 'LOCAL_CA_DIR'),
    tokenPath: env.TOKEN_PATH || defaultToken,
    instanceIp: env.INSTANCE_IP || '1.1.1.1',
    nodeMetadata: withPrefix(env, 'ISTIO_META_', (name) => name),
  }
}

function withPrefix(env: Environment, prefix: string, rename: (name: string) => string): Record<string, string> {
  return Object.fromEntries(
    Object.entries(env).flatMap(([name, value]) => (name.startsWith(prefix) && value ? [[rename(name.slice(prefix.length)), value]] : [])),
  )
}
