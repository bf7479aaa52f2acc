import { isIPv4, isIPv6 } from 'node:net'
import { parseDocument } from 'yaml'
import * as z from 'zod/mini'
import { canonicalAddress } from '../address.ts'
import type { Resources } from './types.ts'

// The small build of the library has no texts of its own.
z.config(z.locales.en())

const text = z.string().check(z.minLength(1))
const list = <T extends z.ZodMiniType>(item: T) => z._default(z.array(item), [])
const port = z.int().check(z.minimum(0), z.maximum(65_535))
const portMap = z.record(z.string().check(z.regex(/^\d{1,5}$/, 'expected a port number as key')), port)

const ip = z.pipe(
  z.string().check(z.refine((v) => canonicalAddress(v) !== undefined, { error: 'expected an IP address' })),
  z.transform((v) => canonicalAddress(v)!),
)
const networkAddress = z.pipe(
  z.string().check(
    z.refine((v) => v.includes('/') && canonicalAddress(v.slice(v.indexOf('/') + 1)) !== undefined, {
      error: 'expected "<network>/<ip>", for example "/10.96.0.1"',
    }),
  ),
  z.transform((v) => `${v.slice(0, v.indexOf('/'))}/${canonicalAddress(v.slice(v.indexOf('/') + 1))}`),
)
const cidr = z.string().check(z.refine(isCidr, { error: 'expected an address or a CIDR such as 10.0.0.0/8' }))
const gateway = z.strictObject({
  destination: z.string().check(z.regex(/^[^/]*\/[^/]+$/, 'expected "<network>/<ip>" or "<namespace>/<hostname>"')),
  hboneMtlsPort: z._default(port, 15008),
})
const locality = z.strictObject({ region: z.optional(z.string()), zone: z.optional(z.string()), subzone: z.optional(z.string()) })

const workload = z.strictObject({
  uid: text,
  name: text,
  namespace: text,
  workloadIps: list(ip),
  network: z._default(z.string(), ''),
  protocol: z._default(z.enum(['HBONE', 'TCP']), 'TCP'),
  networkMode: z._default(z.enum(['Standard', 'HostNetwork']), 'Standard'),
  trustDomain: z._default(text, 'cluster.local'),
  serviceAccount: z._default(text, 'default'),
  workloadName: z._default(z.string(), ''),
  workloadType: z._default(z.enum(['deployment', 'cronjob', 'pod', 'job']), 'deployment'),
  canonicalName: z._default(z.string(), ''),
  canonicalRevision: z._default(z.string(), ''),
  hostname: z._default(z.string(), ''),
  node: z._default(z.string(), ''),
  nativeTunnel: z._default(z.boolean(), false),
  applicationTunnel: z.optional(z.strictObject({ protocol: z._default(z.enum(['NONE', 'PROXY']), 'NONE'), port: z.optional(port) })),
  authorizationPolicies: list(z.string()),
  status: z._default(z.enum(['Healthy', 'Unhealthy']), 'Healthy'),
  clusterId: z._default(z.string(), 'Kubernetes'),
  locality: z.optional(locality),
  capacity: z._default(z.int().check(z.minimum(0)), 1),
  waypoint: z.optional(gateway),
  networkGateway: z.optional(gateway),
  services: z._default(z.record(z.string().check(z.regex(/^[^/]+\/[^/]+$/, 'expected "<namespace>/<hostname>" as key')), portMap), {}),
})

const service = z.strictObject({
  name: text,
  namespace: text,
  hostname: text,
  vips: list(networkAddress),
  ports: portMap,
  subjectAltNames: list(z.string()),
  waypoint: z.optional(gateway),
  loadBalancer: z.optional(
    z.strictObject({
      routingPreferences: list(z.enum(['Region', 'Zone', 'Subzone', 'Node', 'Cluster', 'Network'])),
      mode: z._default(z.enum(['Standard', 'Strict', 'Failover', 'Passthrough']), 'Standard'),
      healthPolicy: z._default(z.enum(['OnlyHealthy', 'AllowAll']), 'OnlyHealthy'),
    }),
  ),
  ipFamilies: z.optional(z.enum(['IPv4', 'IPv6', 'Dual'])),
  canonical: z._default(z.boolean(), true),
  visibility: z._default(z.enum(['Public', 'Namespace']), 'Public'),
})

const presence = z.pipe(
  z.union([z.literal('Presence'), z.strictObject({ Presence: z.unknown() })]),
  z.transform(() => 'Presence' as const),
)
const stringMatch = z.union([
  z.strictObject({ Exact: z.string() }),
  z.strictObject({ Prefix: z.string() }),
  z.strictObject({ Suffix: z.string() }),
  presence,
])
const account = z.strictObject({ namespace: z.string(), serviceAccount: z.string() })
const some = <T extends z.ZodMiniType>(item: T) => z.optional(z.array(item))
const match = z.strictObject({
  namespaces: some(stringMatch),
  notNamespaces: some(stringMatch),
  serviceAccounts: some(account),
  notServiceAccounts: some(account),
  principals: some(stringMatch),
  notPrincipals: some(stringMatch),
  sourceIps: some(cidr),
  notSourceIps: some(cidr),
  destinationIps: some(cidr),
  notDestinationIps: some(cidr),
  destinationPorts: some(port),
  notDestinationPorts: some(port),
})

const policy = z.strictObject({
  name: text,
  namespace: text,
  scope: z.enum(['Global', 'Namespace', 'WorkloadSelector']),
  action: z.enum(['Allow', 'Deny']),
  rules: list(z.array(z.array(match))),
  dryRun: z._default(z.boolean(), false),
})

const file = z.strictObject({ workloads: list(workload), services: list(service), policies: list(policy) })

/** A local YAML text that cannot be used; every problem with its path. */
export class LocalStateError extends Error {
  constructor(source: string, problems: readonly string[]) {
    super(`${source}: ${problems.join('; ')}`)
    this.name = 'LocalStateError'
  }
}

/**
 * Reads upstream's local YAML form (`LOCAL_XDS`; fact sheet: in-pod mode, 6.1).
 * @param source named in errors
 * @throws LocalStateError for a syntax error, an unknown field, a bad value or a uid, service or policy that comes twice
 */
export function parseLocalState(yaml: string, source: string): Resources {
  const document = parseDocument(yaml, { prettyErrors: true })
  if (document.errors.length > 0)
    throw new LocalStateError(
      source,
      document.errors.map((e) => e.message.split('\n')[0]!),
    )
  const result = file.safeParse(document.toJS({ maxAliasCount: 100 }) ?? {})
  if (!result.success) throw new LocalStateError(source, result.error.issues.slice(0, 20).map(describe))
  const { workloads, services, policies } = result.data
  const twice = [
    ...repeated('workloads', workloads, (w) => w.uid),
    ...repeated('services', services, (s) => `${s.namespace}/${s.hostname}`),
    ...repeated('policies', policies, (p) => `${p.namespace}/${p.name}`),
  ]
  if (twice.length > 0) throw new LocalStateError(source, twice)
  return { workloads, services, policies }
}

function describe(issue: z.core.$ZodIssue): string {
  const path = issue.path
    .map((p) => (typeof p === 'number' ? `[${p}]` : `.${String(p)}`))
    .join('')
    .replace(/^\./, '')
  const at = path === '' ? 'top level' : path
  if (issue.code === 'unrecognized_keys') return `${at}: unknown field ${issue.keys.map((k) => `"${k}"`).join(', ')}`
  if (issue.code === 'invalid_key') return `${at}: ${issue.issues[0]?.message ?? issue.message}`
  // Of a choice of forms none fits: what the forms are.
  if (issue.code === 'invalid_union' && issue.path.includes('rules'))
    return `${at}: expected {Exact: x}, {Prefix: x}, {Suffix: x} or Presence`
  return `${at}: ${issue.message}`
}

function* repeated<T>(kind: string, items: readonly T[], key: (item: T) => string): Generator<string> {
  const seen = new Map<string, number>()
  for (const [i, item] of items.entries()) {
    const first = seen.get(key(item))
    if (first !== undefined) yield `${kind}[${i}]: ${key(item)} is there already as ${kind}[${first}]`
    else seen.set(key(item), i)
  }
}

function isCidr(value: string): boolean {
  const [address = '', length, rest] = value.split('/')
  if (rest !== undefined || !(isIPv4(address) || isIPv6(address))) return false
  return length === undefined || (/^\d{1,3}$/.test(length) && Number(length) <= (isIPv4(address) ? 32 : 128))
}
