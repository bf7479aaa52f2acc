import { formatIdentity, type Identity } from '../lib/identity.ts'
import { type Address, formatAddress } from './address.ts'
import { bare, type Fields, type Log } from './log.ts'
import type { ResponseFlag, TrafficMetrics } from './metrics/traffic.ts'
import type { Service, Workload } from './state/types.ts'

/** What is known of a connection when it is set up. Identities only if it runs over mTLS. */
export interface ConnectionRecord {
  readonly direction: 'inbound' | 'outbound'
  readonly from: Address
  readonly to: Address
  readonly source?: Workload | undefined
  readonly sourceIdentity?: Identity | undefined
  readonly destination?: Workload | undefined
  readonly destinationIdentity?: Identity | undefined
  /** CONNECT authority. */
  readonly hboneAddress?: string | undefined
  readonly service?: Service | undefined
}

/** Bytes that the reporting side sent and received, as its application would count them. */
export interface Traffic {
  sent: number
  received: number
}

/** One connection from when its ends are known to its end, in the access log and in the metrics. */
export interface Report {
  /** What was learnt since it began. */
  record: ConnectionRecord
  /** Grows while the connection lives. */
  readonly traffic: Traffic
  /** Both sides stand. */
  opened(): void
  /** @param flag why it never stood */
  end(error?: string, flag?: ResponseFlag): void
}

/** Upstream's access log (fact sheet: in-pod mode, 4.8): which fields, in which order, at which level; and the metrics of the same connections. */
export class AccessLog {
  readonly #log: Log
  readonly #metrics: TrafficMetrics
  constructor(log: Log, metrics: TrafficMetrics) {
    this.#log = log
    this.#metrics = metrics
  }

  /** @param startedAt of performance.now() */
  begin(record: ConnectionRecord, startedAt: number): Report {
    const traffic: Traffic = { sent: 0, received: 0 }
    const counted = this.#metrics.begin(record, traffic)
    const report: Report = {
      record,
      traffic,
      opened: () => this.#log('debug', 'access', 'connection opened', describe(report.record)),
      end: (error, flag = '-') => {
        counted.end(flag)
        this.#log(error === undefined ? 'info' : 'error', 'access', 'connection complete', {
          ...describe(report.record),
          bytes_sent: traffic.sent,
          bytes_recv: traffic.received,
          duration: `${Math.round(performance.now() - startedAt)}ms`,
          error,
        })
      },
    }
    return report
  }

  /** Refused before anything but the addresses was known. */
  refused(direction: 'inbound' | 'outbound', from: Address, to: Address, error: string): void {
    this.#log('warn', 'access', 'connection failed', {
      'src.addr': bare(formatAddress(from)),
      'dst.addr': bare(formatAddress(to)),
      direction,
      error,
    })
  }
}

function describe(r: ConnectionRecord): Fields {
  return {
    'src.addr': bare(formatAddress(r.from)),
    'src.workload': r.source?.name,
    'src.namespace': r.source?.namespace,
    'src.identity': r.sourceIdentity && formatIdentity(r.sourceIdentity),
    'src.cluster': r.source?.clusterId,
    'dst.addr': bare(formatAddress(r.to)),
    'dst.hbone_addr': r.hboneAddress === undefined ? undefined : bare(r.hboneAddress),
    'dst.service': r.service?.hostname,
    'dst.workload': r.destination?.name,
    'dst.namespace': r.destination?.namespace,
    'dst.identity': r.destinationIdentity && formatIdentity(r.destinationIdentity),
    'dst.cluster': r.destination?.clusterId,
    direction: r.direction,
  }
}
