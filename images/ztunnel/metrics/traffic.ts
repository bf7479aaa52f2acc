import { formatIdentity } from '../../lib/identity.ts'
import type { ConnectionRecord, Traffic } from '../access-log.ts'
import type { Workload } from '../state/types.ts'
import { Family, type Labels, labelText, type Registry } from './registry.ts'

/** Why a connection never stood (Envoy's flags, as upstream's ztunnel uses them); `-`: it did. */
export type ResponseFlag = '-' | 'DENY' | 'CONNECT' | 'TLS_FAILURE' | 'H2_HANDSHAKE_FAILURE' | 'NETWORK_POLICY' | 'IDENTITY_ERROR'

/** The `istio_tcp_…` family: one set of labels for each pair of workloads, reporter and outcome. */
export class TrafficMetrics {
  readonly #opened: Family
  readonly #closed: Family
  readonly #failed: Family
  readonly #received: Family
  readonly #sent: Family
  readonly #open: Family
  readonly #live = new Set<Counted>()

  constructor(registry: Registry) {
    const family = (type: 'counter' | 'gauge', name: string, help: string) => registry.add(new Family(type, `istio_tcp_${name}`, help))
    this.#opened = family('counter', 'connections_opened', 'The total number of TCP connections opened.')
    this.#closed = family('counter', 'connections_closed', 'The total number of TCP connections closed.')
    this.#failed = family('counter', 'connections_failed', 'The total number of TCP connections that failed to be established (unstable).')
    this.#received = family('counter', 'received_bytes', 'The size of total bytes received during request in case of a TCP connection.')
    this.#sent = family('counter', 'sent_bytes', 'The size of total bytes sent during response in case of a TCP connection.')
    this.#open = family('gauge', 'sockets_open', 'The current number of open TCP connections (unstable).')
    registry.beforeText(() => {
      for (const counted of this.#live) counted.flush()
    })
  }

  /** Counts a connection from now on. @param traffic its bytes, which may grow; they are read when metrics are asked for, and at the end */
  begin(record: ConnectionRecord, traffic: Traffic): { end(flag: ResponseFlag): void } {
    const labels = trafficLabels(record)
    const text = labelText({ ...labels, response_flags: '-' })
    const [sent, received, open] = [this.#sent.at(text), this.#received.at(text), this.#open.at(text)]
    this.#opened.at(text).value++
    open.value++
    // `received` is what the request's direction carried, whoever reports: the source's own count is the other way round.
    const [requests, responses] = record.direction === 'outbound' ? (['sent', 'received'] as const) : (['received', 'sent'] as const)
    const told = { sent: 0, received: 0 }
    const counted: Counted = {
      flush() {
        received.value += traffic[requests] - told[requests]
        sent.value += traffic[responses] - told[responses]
        Object.assign(told, traffic)
      },
    }
    this.#live.add(counted)
    return {
      end: (flag) => {
        if (!this.#live.delete(counted)) return
        counted.flush()
        open.value--
        const ended = flag === '-' ? text : labelText({ ...labels, response_flags: flag })
        this.#closed.at(ended).value++
        if (flag !== '-') this.#failed.at(ended).value++
      },
    }
  }
}

interface Counted {
  flush(): void
}

const known = (value: string | undefined) => value || 'unknown'

function trafficLabels(r: ConnectionRecord): Labels {
  const { source, destination, service } = r
  return {
    reporter: r.direction === 'outbound' ? 'source' : 'destination',
    ...workloadLabels('source', source, r.sourceIdentity && formatIdentity(r.sourceIdentity)),
    destination_service: known(service?.hostname),
    destination_service_namespace: known(service?.namespace),
    destination_service_name: known(service?.name),
    ...workloadLabels('destination', destination, destination && formatIdentity(destination)),
    request_protocol: 'tcp',
    response_flags: '-',
    connection_security_policy: r.sourceIdentity ? 'mutual_tls' : 'unknown',
    source_region: known(source?.locality?.region),
    source_zone: known(source?.locality?.zone),
    destination_region: known(destination?.locality?.region),
    destination_zone: known(destination?.locality?.zone),
  }
}

function workloadLabels(side: 'source' | 'destination', w: Workload | undefined, principal: string | undefined): Labels {
  return {
    [`${side}_workload`]: known(w?.workloadName),
    [`${side}_canonical_service`]: known(w?.canonicalName),
    [`${side}_canonical_revision`]: known(w?.canonicalRevision),
    [`${side}_workload_namespace`]: known(w?.namespace),
    [`${side}_principal`]: known(principal),
    [`${side}_app`]: known(w?.canonicalName),
    [`${side}_version`]: known(w?.canonicalRevision),
    [`${side}_cluster`]: known(w?.clusterId),
  }
}
