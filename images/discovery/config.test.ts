import { expect, test } from 'vitest'
import { readConfig } from './config.ts'

const api = { KUBERNETES_SERVICE_HOST: '10.96.0.1', KUBERNETES_SERVICE_PORT: '443' }

test("defaults are upstream's", () => {
  expect(readConfig(api)).toMatchObject({
    namespace: 'istio-system',
    clusterId: 'Kubernetes',
    trustDomain: 'cluster.local',
    trustedNodeAccounts: ['istio-system/ztunnel'],
    audience: 'istio-ca',
    defaultTtl: 86_400_000,
    maxTtl: 90 * 86_400_000,
    rootTtl: 3650 * 86_400_000,
    maxConnectionAge: 1_800_000,
    grpcPort: 15012,
    healthPort: 8080,
    metricsPort: 15014,
    apiServer: 'https://10.96.0.1:443',
  })
})

test("times in Go's form, lists with spaces, an API server on IPv6", () => {
  const config = readConfig({
    KUBERNETES_SERVICE_HOST: 'fd00::1',
    KUBERNETES_SERVICE_PORT: '6443',
    DEFAULT_WORKLOAD_CERT_TTL: '1h30m0s',
    PILOT_DEBOUNCE_AFTER: '10ms',
    CA_TRUSTED_NODE_ACCOUNTS: 'a/b, c/d',
  })
  expect(config).toMatchObject({
    defaultTtl: 5_400_000,
    debounceAfter: 10,
    trustedNodeAccounts: ['a/b', 'c/d'],
    apiServer: 'https://[fd00::1]:6443',
  })
})

test('everything that is wrong is named at once, with what it should be', () => {
  const env = { MAX_WORKLOAD_CERT_TTL: '24', GRPC_PORT: '70000', LOG_LEVEL: 'loud', CA_TRUSTED_NODE_ACCOUNTS: 'ztunnel' }
  expect(() => readConfig(env)).toThrow(
    /MAX_WORKLOAD_CERT_TTL is "24": expected a time.*GRPC_PORT is "70000".*KUBERNETES_SERVICE_PORT is not set.*CA_TRUSTED_NODE_ACCOUNTS holds "ztunnel": expected namespace\/name/,
  )
  expect(() => readConfig(env)).toThrow(/LOG_LEVEL is "loud": expected debug, info, warn, error/)
  expect(() => readConfig(env)).toThrow(/KUBERNETES_SERVICE_HOST is not set/)
})
