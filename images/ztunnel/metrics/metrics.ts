import type { XdsEvents } from '../control-plane/xds-client.ts'
import { Family, Histogram, Observed, Registry } from './registry.ts'
import { TrafficMetrics } from './traffic.ts'

/** ztunnel's metrics under upstream's names and help texts (fact sheet: in-pod mode, 4.9). */
export class Metrics {
  readonly #registry = new Registry()
  proxiesStarted = 0
  proxiesStopped = 0
  pending: () => number = () => 0
  active: () => number = () => 0
  readonly traffic: TrafficMetrics
  readonly dns: {
    readonly requests: Family
    readonly forwarded: Family
    readonly failures: Family
    /** Seconds. */
    readonly duration: Histogram
  }
  readonly xds: XdsEvents

  constructor() {
    const registry = this.#registry
    const counter = (name: string, help: string) => registry.add(new Family('counter', name, help))
    const observed = (type: 'counter' | 'gauge', name: string, help: string, read: () => number) =>
      registry.add(new Observed(type, name, help, read))
    registry.add(new Family('gauge', 'istio_build', 'Istio component build info.')).of({ component: 'ztunnel', tag: 'unknown' }).value = 1
    observed('gauge', 'workload_manager_active_proxy_count', 'The total number current workloads with active proxies (unstable).', () =>
      this.active(),
    )
    observed('gauge', 'workload_manager_pending_proxy_count', 'The total number current workloads with pending proxies (unstable).', () =>
      this.pending(),
    )
    observed(
      'counter',
      'workload_manager_proxies_started',
      'The total number of proxies that were started (unstable).',
      () => this.proxiesStarted,
    )
    observed(
      'counter',
      'workload_manager_proxies_stopped',
      'The total number of proxies that were stopped (unstable).',
      () => this.proxiesStopped,
    )
    this.traffic = new TrafficMetrics(registry)
    this.dns = {
      requests: counter('istio_dns_requests', 'Total number of DNS requests (unstable).'),
      forwarded: counter('istio_dns_upstream_requests', 'Total number of DNS requests forwarded to upstream (unstable).'),
      failures: counter('istio_dns_upstream_failures', 'Total number of DNS requests that failed to forward upstream (unstable).'),
      duration: registry.add(
        new Histogram(
          'istio_dns_upstream_request_duration_seconds',
          'Total time in seconds Istio takes to get DNS response from upstream (unstable).',
          [0.001, 0.005, 0.01, 0.1, 1, 5],
        ),
      ),
    }
    const terminations = counter('istio_xds_connection_terminations', 'The total number of completed connections to xds server (unstable).')
    const messages = counter('istio_xds_message', 'Total number of messages received (unstable).')
    const bytes = registry.add(new Family('counter', 'istio_xds_message_bytes', 'Total number of bytes received (unstable).'))
    this.xds = {
      terminated(reason) {
        terminations.of({ reason }).value++
      },
      message(url, size) {
        messages.of({ url }).value++
        bytes.of({ url }).value += size
      },
    }
  }

  /** OpenMetrics text as upstream's `/metrics`. */
  text(): string {
    return this.#registry.text()
  }
}
