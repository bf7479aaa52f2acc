import type { XdsEvents } from './control-plane/xds-client.ts'

/** The few metrics of this slice, under upstream's names and help texts (fact sheet: in-pod mode, 4.9). */
export class Metrics {
  proxiesStarted = 0
  proxiesStopped = 0
  pending: () => number = () => 0
  active: () => number = () => 0
  readonly xds: XdsEvents = { terminated() {}, message() {} }

  /** OpenMetrics text as upstream's `/metrics`. */
  text(): string {
    return [
      '# HELP istio_build Istio component build info.',
      '# TYPE istio_build gauge',
      'istio_build{component="ztunnel",tag="unknown"} 1',
      ...gauge('workload_manager_active_proxy_count', 'The total number current workloads with active proxies (unstable).', this.active()),
      ...gauge(
        'workload_manager_pending_proxy_count',
        'The total number current workloads with pending proxies (unstable).',
        this.pending(),
      ),
      ...counter('workload_manager_proxies_started', 'The total number of proxies that were started (unstable).', this.proxiesStarted),
      ...counter('workload_manager_proxies_stopped', 'The total number of proxies that were stopped (unstable).', this.proxiesStopped),
      '# EOF',
      '',
    ].join('\n')
  }
}

const gauge = (name: string, help: string, value: number) => [`# HELP ${name} ${help}`, `# TYPE ${name} gauge`, `${name} ${value}`]
const counter = (name: string, help: string, value: number) => [
  `# HELP ${name} ${help}`,
  `# TYPE ${name} counter`,
  `${name}_total ${value}`,
]
