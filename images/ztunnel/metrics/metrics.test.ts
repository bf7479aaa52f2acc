import { expect, test } from 'vitest'
import type { ConnectionRecord } from '../access-log.ts'
import { mesh } from '../testbed/mesh.ts'
import { parseOpenMetrics, type Sample } from '../testbed/openmetrics.ts'
import { Metrics } from './metrics.ts'
import { Family, Histogram, Registry } from './registry.ts'

const state = mesh(`
workloads:
  - { uid: a, name: sleep-1, namespace: demo, serviceAccount: sleep, workloadName: sleep, canonicalName: sleep-app, canonicalRevision: v1, clusterId: east, locality: { region: r1, zone: z1 } }
  - { uid: b, name: httpbin-1, namespace: web, serviceAccount: httpbin, workloadName: httpbin, canonicalName: httpbin-app, canonicalRevision: v2, clusterId: east }
services: [{ name: httpbin, namespace: web, hostname: httpbin.web.svc, ports: {} }]`)
const [a, b] = [state.workloads.get('a')!, state.workloads.get('b')!]
const outbound: ConnectionRecord = {
  direction: 'outbound',
  from: { address: '10.0.0.1', port: 1 },
  to: { address: '10.0.0.2', port: 15008 },
  source: a,
  sourceIdentity: a,
  destination: b,
  destinationIdentity: b,
  service: state.services.get('web/httpbin.web.svc'),
}
const tcp = (metrics: Metrics) => parseOpenMetrics(metrics.text()).filter((s) => s.name.startsWith('istio_tcp_'))
const numbers = (samples: readonly Sample[]) =>
  Object.fromEntries(samples.map((s) => [`${s.name.slice('istio_tcp_'.length)} ${s.labels.reporter} ${s.labels.response_flags}`, s.value]))

test('a connection over mTLS has upstream’s labels', () => {
  const metrics = new Metrics()
  metrics.traffic.begin(outbound, { sent: 0, received: 0 })
  for (const { labels } of tcp(metrics))
    expect(labels).toEqual({
      reporter: 'source',
      source_workload: 'sleep',
      source_canonical_service: 'sleep-app',
      source_canonical_revision: 'v1',
      source_workload_namespace: 'demo',
      source_principal: 'spiffe://cluster.local/ns/demo/sa/sleep',
      source_app: 'sleep-app',
      source_version: 'v1',
      source_cluster: 'east',
      destination_service: 'httpbin.web.svc',
      destination_service_namespace: 'web',
      destination_service_name: 'httpbin',
      destination_workload: 'httpbin',
      destination_canonical_service: 'httpbin-app',
      destination_canonical_revision: 'v2',
      destination_workload_namespace: 'web',
      destination_principal: 'spiffe://cluster.local/ns/web/sa/httpbin',
      destination_app: 'httpbin-app',
      destination_version: 'v2',
      destination_cluster: 'east',
      request_protocol: 'tcp',
      response_flags: '-',
      connection_security_policy: 'mutual_tls',
      source_region: 'r1',
      source_zone: 'z1',
      destination_region: 'unknown',
      destination_zone: 'unknown',
    })
})

test('what is not known is “unknown”, and plaintext has no security and no caller', () => {
  const metrics = new Metrics()
  metrics.traffic.begin({ direction: 'inbound', from: outbound.from, to: outbound.to, destination: b }, { sent: 0, received: 0 })
  expect(tcp(metrics)[0]!.labels).toMatchObject({
    reporter: 'destination',
    source_workload: 'unknown',
    source_principal: 'unknown',
    destination_service: 'unknown',
    destination_workload: 'httpbin',
    connection_security_policy: 'unknown',
  })
})

test('both reporters call the same bytes received and sent: the request’s and the response’s', () => {
  const metrics = new Metrics()
  const request = 11
  const response = 22
  metrics.traffic.begin(outbound, { sent: request, received: response }).end('-')
  metrics.traffic.begin({ ...outbound, direction: 'inbound' }, { sent: response, received: request }).end('-')
  expect(numbers(tcp(metrics))).toMatchObject({
    'received_bytes_total source -': request,
    'sent_bytes_total source -': response,
    'received_bytes_total destination -': request,
    'sent_bytes_total destination -': response,
  })
})

test('bytes of a connection that lives are counted, each once', () => {
  const metrics = new Metrics()
  const traffic = { sent: 0, received: 0 }
  const counted = metrics.traffic.begin(outbound, traffic)
  traffic.sent = 5
  expect(numbers(tcp(metrics))).toMatchObject({ 'received_bytes_total source -': 5, 'sockets_open source -': 1 })
  traffic.sent = 7
  expect(numbers(tcp(metrics))).toMatchObject({ 'received_bytes_total source -': 7 })
  counted.end('-')
  counted.end('-')
  expect(numbers(tcp(metrics))).toEqual({
    'connections_opened_total source -': 1,
    'connections_closed_total source -': 1,
    'received_bytes_total source -': 7,
    'sent_bytes_total source -': 0,
    'sockets_open source -': 0,
  })
})

test.each(['DENY', 'CONNECT', 'TLS_FAILURE', 'H2_HANDSHAKE_FAILURE', 'NETWORK_POLICY', 'IDENTITY_ERROR'] as const)(
  'a connection that ends with %s was opened, closed with the flag, and failed',
  (flag) => {
    const metrics = new Metrics()
    metrics.traffic.begin(outbound, { sent: 0, received: 0 }).end(flag)
    expect(numbers(tcp(metrics))).toMatchObject({
      'connections_opened_total source -': 1,
      [`connections_closed_total source ${flag}`]: 1,
      [`connections_failed_total source ${flag}`]: 1,
      'sockets_open source -': 0,
    })
  },
)

test('every name of upstream’s that has a meaning here is there', () => {
  const metrics = new Metrics()
  metrics.traffic.begin(outbound, { sent: 0, received: 0 }).end('CONNECT')
  const dns = { request_query_type: 'a', request_protocol: 'udp', source_canonical_service: 'x', source_canonical_revision: 'y' }
  for (const family of [metrics.dns.requests, metrics.dns.forwarded, metrics.dns.failures]) family.of(dns).value++
  metrics.dns.duration.observe(dns, 0.05)
  metrics.xds.terminated('Complete')
  metrics.xds.message('type', 10)
  expect([...new Set(parseOpenMetrics(metrics.text()).map((s) => s.name))].sort()).toEqual([
    'istio_build',
    'istio_dns_requests_total',
    'istio_dns_upstream_failures_total',
    'istio_dns_upstream_request_duration_seconds_bucket',
    'istio_dns_upstream_request_duration_seconds_count',
    'istio_dns_upstream_request_duration_seconds_sum',
    'istio_dns_upstream_requests_total',
    'istio_tcp_connections_closed_total',
    'istio_tcp_connections_failed_total',
    'istio_tcp_connections_opened_total',
    'istio_tcp_received_bytes_total',
    'istio_tcp_sent_bytes_total',
    'istio_tcp_sockets_open',
    'istio_xds_connection_terminations_total',
    'istio_xds_message_bytes_total',
    'istio_xds_message_total',
    'workload_manager_active_proxy_count',
    'workload_manager_pending_proxy_count',
    'workload_manager_proxies_started_total',
    'workload_manager_proxies_stopped_total',
  ])
})

test('label values may be any text', () => {
  const registry = new Registry()
  const nasty = 'a"b\\c\nd,e="f"}'
  registry.add(new Family('gauge', 'x', 'A gauge.')).of({ label: nasty, other: '' }).value = 1.5
  expect(parseOpenMetrics(registry.text())).toEqual([{ name: 'x', labels: { label: nasty, other: '' }, value: 1.5 }])
})

test('a histogram’s buckets add up', () => {
  const registry = new Registry()
  const histogram = registry.add(new Histogram('x_seconds', 'A time.', [0.1, 1]))
  for (const value of [0.05, 0.1, 0.5, 7]) histogram.observe({ a: 'b' }, value)
  expect(parseOpenMetrics(registry.text()).map((s) => [s.name, s.labels.le, s.value])).toEqual([
    ['x_seconds_sum', undefined, 7.65],
    ['x_seconds_count', undefined, 4],
    ['x_seconds_bucket', '0.1', 2],
    ['x_seconds_bucket', '1.0', 3],
    ['x_seconds_bucket', '+Inf', 4],
  ])
})
