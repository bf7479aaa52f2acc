import type { AuthorizationInit, MatchInit } from '../../lib/xds/messages.ts'
import { keyOf, type MutualTls, type PeerAuthentication } from '../kubernetes/objects.ts'
import { type Labels, matches } from './labels.ts'

/** `_` stands in no name of Kubernetes: nobody else can have made it. */
export const staticStrictName = 'istio_converted_static_strict'
export const convertedName = (name: string): string => `converted_peer_authentication_${name}`

const withoutIdentity: MatchInit = { notPrincipals: [{ presence: {} }] }

/** Whoever shows no identity is denied: what STRICT means for ztunnel. */
export function staticStrict(rootNamespace: string): AuthorizationInit {
  return {
    name: staticStrictName,
    namespace: rootNamespace,
    scope: 'WORKLOAD_SELECTOR',
    action: 'DENY',
    rules: [{ clauses: [{ matches: [withoutIdentity] }] }],
  }
}

type Mode = 'STRICT' | 'PERMISSIVE' | undefined

/** DISABLE is PERMISSIVE to ztunnel: it accepts both, and never asks for less. */
function modeOf(mtls: MutualTls | undefined): Mode {
  const mode = mtls?.mode
  return mode === 'STRICT' ? 'STRICT' : mode === 'PERMISSIVE' || mode === 'DISABLE' ? 'PERMISSIVE' : undefined
}

/** The PeerAuthentications that decide for one namespace, of all that there are. Of several the oldest counts. */
export class PeerAuthentications {
  readonly #mesh: PeerAuthentication | undefined
  readonly #own: PeerAuthentication | undefined
  readonly #selecting: readonly PeerAuthentication[]
  readonly #rootNamespace: string

  /** @param all in any order; those of other namespaces do not count */
  constructor(all: Iterable<PeerAuthentication>, namespace: string, rootNamespace: string) {
    const sorted = [...all].sort(byAge)
    const wide = (of: string) => sorted.find((p) => p.metadata.namespace === of && !hasSelector(p))
    this.#mesh = wide(rootNamespace)
    this.#own = namespace === rootNamespace ? undefined : wide(namespace)
    // A selector in the mesh's own namespace selects nothing.
    this.#selecting = namespace === rootNamespace ? [] : sorted.filter((p) => p.metadata.namespace === namespace && hasSelector(p))
    this.#rootNamespace = rootNamespace
  }

  /** The converted policies of the namespace: one for each PeerAuthentication whose ports differ from the rest of its workloads. */
  converted(): AuthorizationInit[] {
    return this.#selecting.flatMap((p) => this.#convert(p) ?? [])
  }

  /** Names of the policies that a workload with these labels is under: none, the static one, or one with its ports. */
  policiesFor(labels: Labels): string[] {
    const found = this.#selecting.find((p) => matches(p.spec?.selector?.matchLabels ?? {}, labels))
    if (found && this.#convert(found)) return [`${found.metadata.namespace}/${convertedName(found.metadata.name)}`]
    return this.#modeFor(found) === 'STRICT' ? [`${this.#rootNamespace}/${staticStrictName}`] : []
  }

  #modeFor(own: PeerAuthentication | undefined): Mode {
    return modeOf(own?.spec?.mtls) ?? modeOf(this.#own?.spec?.mtls) ?? modeOf(this.#mesh?.spec?.mtls)
  }

  /** Undefined where the ports change nothing: then the mode alone decides. */
  #convert(from: PeerAuthentication): AuthorizationInit | undefined {
    const strict = this.#modeFor(from) === 'STRICT'
    const ports = Object.entries(from.spec?.portLevelMtls ?? {})
      .filter(([, mtls]) => modeOf(mtls) === (strict ? 'PERMISSIVE' : 'STRICT'))
      .map(([port]) => Number(port))
      .filter((port) => Number.isInteger(port) && port > 0 && port <= 65535)
      .sort((a, b) => a - b)
    if (ports.length === 0) return undefined
    const excepted = ports.map((port) => ({ matches: [{ notDestinationPorts: [port] }] }))
    const rules = strict
      ? [{ clauses: [{ matches: [withoutIdentity] }, ...excepted] }]
      : ports.map((port) => ({ clauses: [{ matches: [{ ...withoutIdentity, destinationPorts: [port] }] }] }))
    const { name, namespace = '' } = from.metadata
    return { name: convertedName(name), namespace, scope: 'WORKLOAD_SELECTOR', action: 'DENY', rules }
  }
}

/** A selector without labels selects all, as no selector does. */
function hasSelector({ spec }: PeerAuthentication): boolean {
  return Object.keys(spec?.selector?.matchLabels ?? {}).length > 0
}

function byAge(a: PeerAuthentication, b: PeerAuthentication): number {
  const age = (a.metadata.creationTimestamp ?? '').localeCompare(b.metadata.creationTimestamp ?? '')
  return age || (keyOf(a) < keyOf(b) ? -1 : 1)
}
