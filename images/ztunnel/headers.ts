import { randomBytes } from 'node:crypto'
import { type Address, formatAddress } from './address.ts'
import type { Service, Workload } from './state/types.ts'

/** `baggage` of a workload (fact sheet: in-pod mode, 4.2); empty members are left out. */
export function baggage(workload: Workload): string {
  return Object.entries({
    'k8s.cluster.name': workload.clusterId,
    'k8s.namespace.name': workload.namespace,
    [`k8s.${workload.workloadType}.name`]: workload.workloadName,
    'service.name': workload.canonicalName,
    'service.version': workload.canonicalRevision,
    'cloud.region': workload.locality?.region,
    'cloud.availability_zone': workload.locality?.zone,
  })
    .filter(([, value]) => value)
    .map(([name, value]) => `${name}=${value}`)
    .join(',')
}

/** Headers of an outbound CONNECT. */
export function connectHeaders(source: Workload, client: Address, service: Service | undefined): Record<string, string> {
  return {
    baggage: baggage(source),
    forwarded: `for="${formatAddress(client)}"${service ? `;host=${service.hostname}` : ''}`,
    traceparent: `00-${nonZero(16)}-${nonZero(8)}-00`,
  }
}

/** The `host` of a Forwarded header (RFC 7239), token or quoted. */
export function forwardedHost(header: string | undefined): string | undefined {
  const found = /(?:^|[;,])\s*host=(?:"([^"]*)"|([^;,\s]+))/i.exec(header ?? '')
  return found?.[1] ?? found?.[2]
}

function nonZero(bytes: number): string {
  const random = randomBytes(bytes)
  random[0] = random[0]! | 1
  return random.toString('hex')
}
