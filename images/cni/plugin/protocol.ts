/** CNI versions that the plugin speaks, as upstream's library lists them. */
export const supportedVersions = ['0.1.0', '0.2.0', '0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0'] as const
const currentVersion = '1.1.0'

/** Well-known error codes of the CNI specification; 999 is what upstream's library gives any other error. */
export const code = { incompatibleVersion: 1, environment: 4, decode: 6, invalidConfig: 7, internal: 999 } as const

/** An error that goes to the container runtime as CNI error JSON. */
export class CniError extends Error {
  readonly code: number
  readonly details: string
  constructor(number: number, message: string, details = '') {
    super(message)
    this.name = 'CniError'
    this.code = number
    this.details = details
  }
}

export type Verb = 'ADD' | 'DEL' | 'CHECK' | 'STATUS' | 'GC' | 'VERSION'

/** A CNI invocation: environment and network configuration, checked. */
export interface Invocation {
  readonly verb: Exclude<Verb, 'VERSION'>
  readonly containerId: string
  readonly netns: string
  /** CNI_ARGS as a map. */
  readonly args: Readonly<Record<string, string>>
  readonly conf: NetworkConf
}

export interface NetworkConf {
  readonly cniVersion: string
  readonly name: string
  readonly prevResult?: CniResult
  readonly [key: string]: unknown
}

/** A CNI result; only what is read of it. 0.2.0 and older have `ip4` and `ip6` instead of `ips`. */
export interface CniResult {
  readonly cniVersion?: string
  readonly ips?: readonly { readonly interface?: number; readonly address?: string; readonly gateway?: string }[]
  readonly ip4?: { readonly ip?: string; readonly gateway?: string }
  readonly ip6?: { readonly ip?: string; readonly gateway?: string }
  readonly [key: string]: unknown
}

type Environment = Readonly<Record<string, string | undefined>>

const required: Readonly<Record<Verb, readonly string[]>> = {
  ADD: ['CNI_CONTAINERID', 'CNI_NETNS', 'CNI_IFNAME', 'CNI_PATH'],
  DEL: ['CNI_CONTAINERID', 'CNI_IFNAME', 'CNI_PATH'],
  CHECK: ['CNI_CONTAINERID', 'CNI_NETNS', 'CNI_IFNAME', 'CNI_PATH'],
  STATUS: ['CNI_PATH'],
  GC: ['CNI_PATH'],
  VERSION: [],
}

/** First conf version that has a verb (CNI specification, "Version considerations"). */
const since: Partial<Record<Verb, string>> = { CHECK: '0.4.0', STATUS: '1.1.0', GC: '1.1.0' }

/** The verb, if it is one and its variables are set. @throws CniError (code 4) */
export function readVerb(environment: Environment): Verb {
  const verb = environment.CNI_COMMAND
  if (!verb) throw new CniError(code.environment, 'required env variables [CNI_COMMAND] missing')
  if (!(verb in required)) throw new CniError(code.environment, `unknown CNI_COMMAND: ${verb}`)
  const missing = required[verb as Verb].filter((name) => !environment[name])
  if (missing.length > 0) throw new CniError(code.environment, `required env variables [${missing.join(',')}] missing`)
  return verb as Verb
}

/** Everything that the plugin works with. @throws CniError (codes 1, 4, 6, 7) */
export function readInvocation(verb: Exclude<Verb, 'VERSION'>, environment: Environment, stdin: string): Invocation {
  const conf = readConf(stdin)
  const from = since[verb]
  if (from && rank(conf.cniVersion) < rank(from))
    throw new CniError(
      code.incompatibleVersion,
      `config version does not allow ${verb}`,
      `cniVersion is ${conf.cniVersion}, ${verb} came with ${from}`,
    )
  const containerId = environment.CNI_CONTAINERID ?? ''
  if (containerId !== '' && !/^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/.test(containerId))
    throw new CniError(code.environment, 'invalid characters in containerID', containerId)
  const ifName = environment.CNI_IFNAME ?? ''
  if (ifName === '.' || ifName === '..' || ifName.length > 15 || /[/:\s]/.test(ifName))
    throw new CniError(code.environment, 'invalid interface name', ifName)
  return { verb, containerId, netns: environment.CNI_NETNS ?? '', args: readArgs(environment.CNI_ARGS ?? ''), conf }
}

function readConf(stdin: string): NetworkConf {
  let conf: unknown
  try {
    conf = JSON.parse(stdin)
  } catch (error) {
    throw new CniError(code.decode, 'error unmarshalling network config: stdin is no JSON', (error as Error).message)
  }
  if (!isObject(conf)) throw new CniError(code.decode, 'error unmarshalling network config: expected a JSON object', stdin.slice(0, 80))
  const { cniVersion = '0.1.0', name, prevResult } = conf
  if (typeof cniVersion !== 'string') throw new CniError(code.decode, 'error unmarshalling network config: cniVersion must be a string')
  if (rank(cniVersion) < 0)
    throw new CniError(
      code.incompatibleVersion,
      'incompatible CNI versions',
      `config is "${cniVersion}", plugin supports ${JSON.stringify(supportedVersions)}`,
    )
  if (typeof name !== 'string' || name === '') throw new CniError(code.invalidConfig, 'missing network name')
  if (!/^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/.test(name)) throw new CniError(code.invalidConfig, 'invalid characters found in network name', name)
  if (prevResult !== undefined && prevResult !== null && !isObject(prevResult))
    throw new CniError(code.decode, 'could not parse prevResult: expected a JSON object')
  return { ...conf, cniVersion, name, ...(prevResult ? { prevResult: prevResult as CniResult } : {}) }
}

/** `K=V;K=V`. @throws CniError (code 4) for a pair without `=` */
function readArgs(text: string): Record<string, string> {
  const args: Record<string, string> = {}
  for (const pair of text.split(';')) {
    if (pair === '') continue
    const at = pair.indexOf('=')
    if (at <= 0) throw new CniError(code.environment, `CNI_ARGS: invalid pair ${JSON.stringify(pair)}, expected KEY=VALUE`)
    args[pair.slice(0, at)] = pair.slice(at + 1)
  }
  return args
}

/** What ADD prints: the result of the plugin before, unchanged but for its version, or an empty one. */
export function addResult(conf: NetworkConf): CniResult {
  if (conf.prevResult) return { ...conf.prevResult, cniVersion: conf.cniVersion }
  return { cniVersion: conf.cniVersion, dns: {} }
}

export function versionResult() {
  return { cniVersion: currentVersion, supportedVersions }
}

export function errorResult(error: unknown, cniVersion: string) {
  const known = error instanceof CniError ? error : new CniError(code.internal, error instanceof Error ? error.message : String(error))
  return { cniVersion, code: known.code, msg: known.message, ...(known.details ? { details: known.details } : {}) }
}

function rank(version: string): number {
  return (supportedVersions as readonly string[]).indexOf(version)
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
