import ipaddr from 'ipaddr.js'
import { ApiError, duplicate, type FieldProblem, invalid, invalidValue, required, unsupportedValue } from '../errors.ts'
import { resources } from '../resources.ts'
import type { Service } from '../types.ts'
import { list } from './pod-spec.ts'
import type { ClusterView, Strategy } from './strategy.ts'

const types = ['ClusterIP', 'ExternalName', 'LoadBalancer', 'NodePort']

export const serviceStrategy: Strategy<Service> = {
  create(draft, cluster) {
    if (typeof draft.spec !== 'object' || draft.spec === null) return
    setDefaults(draft)
    allocate(draft, cluster)
    draft.status = { loadBalancer: {} }
  },
  update(draft, old, cluster) {
    if (typeof draft.spec !== 'object' || draft.spec === null) return
    setDefaults(draft)
    if (draft.spec.type === 'ExternalName') return
    if (!draft.spec.clusterIP && old.spec.clusterIP) draft.spec.clusterIP = old.spec.clusterIP
    allocate(draft, cluster)
  },
  validate(service, old) {
    const { spec } = service
    if (typeof spec !== 'object' || spec === null) return [required('spec')]
    const problems = validatePorts(service)
    if (!types.includes(spec.type!)) problems.push(unsupportedValue('spec.type', spec.type, types))
    const was = old?.spec.clusterIP
    if (was && spec.clusterIP !== was && spec.type !== 'ExternalName') {
      problems.push(invalidValue('spec.clusterIPs[0]', spec.clusterIP, 'may not change once set'))
    }
    return problems
  },
}

function setDefaults({ spec }: Service): void {
  spec.type ??= 'ClusterIP'
  spec.sessionAffinity ??= 'None'
  for (const port of list(spec.ports)) {
    port.protocol ??= 'TCP'
    port.targetPort ??= port.port
  }
  if (spec.type === 'ExternalName') return
  spec.internalTrafficPolicy ??= 'Cluster'
  spec.ipFamilies ??= ['IPv4']
  spec.ipFamilyPolicy ??= 'SingleStack'
}

function validatePorts({ spec }: Service): FieldProblem[] {
  const ports = list(spec.ports)
  if (ports.length === 0 && spec.type !== 'ExternalName' && spec.clusterIP !== 'None') return [required('spec.ports')]
  const problems: FieldProblem[] = []
  const [names, numbers] = [new Set<string>(), new Set<string>()]
  for (const [index, { name, port, protocol }] of ports.entries()) {
    const at = `spec.ports[${index}]`
    if (ports.length > 1 && !name) problems.push(required(`${at}.name`))
    if (name && names.has(name)) problems.push(duplicate(`${at}.name`, name))
    if (name) names.add(name)
    if (!(Number.isInteger(port) && port > 0 && port < 65536))
      problems.push(invalidValue(`${at}.port`, port, 'must be between 1 and 65535, inclusive'))
    const number = `${protocol}/${port}`
    if (numbers.has(number)) problems.push(duplicate(at, { port, protocol }))
    numbers.add(number)
  }
  return problems
}

/** Gives the service an address of the CIDR, or checks and takes the one it asks for. @throws ApiError 422 when that one is taken or outside, 500 when none is left */
function allocate({ metadata, spec }: Service, cluster: ClusterView): void {
  if (spec.type === 'ExternalName' || spec.clusterIP === 'None') {
    if (spec.clusterIP) spec.clusterIPs = [spec.clusterIP]
    return
  }
  const others = cluster
    .all(resources.services)
    .filter((s) => s.metadata.name !== metadata.name || s.metadata.namespace !== metadata.namespace)
  const taken = new Set(others.map((s) => s.spec.clusterIP))
  spec.clusterIP ||= spec.clusterIPs?.[0] ?? free(cluster.serviceCidr, taken)
  spec.clusterIPs = [spec.clusterIP]
  const { clusterIP } = spec
  const refuse = (why: string) =>
    invalid({ kind: 'Service', group: '' }, metadata.name, [
      invalidValue('spec.clusterIPs', [clusterIP], `failed to allocate IP ${clusterIP}: ${why}`),
    ])
  const inside = ipaddr.IPv4.isValidFourPartDecimal(clusterIP) && ipaddr.parse(clusterIP).match(ipaddr.parseCIDR(cluster.serviceCidr))
  if (!inside) throw refuse(`the provided IP is not in the valid range ${cluster.serviceCidr}`)
  if (taken.has(clusterIP)) throw refuse('provided IP is already allocated')
}

/** The first 256 addresses are left to those who ask for one (DNS, the API itself), as upstream prefers. */
function free(cidr: string, taken: ReadonlySet<string | undefined>): string {
  const [base, bits] = ipaddr.IPv4.parseCIDR(cidr)
  const first = base.toByteArray().reduce((sum, byte) => sum * 256 + byte, 0)
  const size = 2 ** (32 - bits)
  const reserved = Math.min(256, Math.max(16, Math.floor(size / 16)))
  for (let step = 0; step < size - 2; step++) {
    const offset = 1 + ((step + reserved) % (size - 2))
    const number = first + offset
    const address = [24, 16, 8, 0].map((shift) => Math.floor(number / 2 ** shift) % 256).join('.')
    if (!taken.has(address)) return address
  }
  throw new ApiError(500, 'InternalError', `failed to allocate a serviceIP: the range ${cidr} is full`)
}
