import { expect, test } from 'vitest'
import { loadConfig } from './config.ts'

const base = { LOCAL_XDS_PATH: '/x', LOCAL_CA_DIR: '/ca' }

test('defaults are upstream’s', () => {
  expect(loadConfig(base)).toMatchObject({
    inpodUds: '/var/run/ztunnel/ztunnel.sock',
    packetMark: 0x539,
    dnsProxy: true,
    poolMaxStreams: 100,
    poolUnusedRelease: 300_000,
    terminationDeadline: 5_000,
    requireOriginalSource: undefined,
    secretTtl: 86_400_000,
  })
})

test.each([
  [{ TERMINATION_GRACE_PERIOD_SECONDS: '30' }, 25_000],
  [{ TERMINATION_GRACE_PERIOD_SECONDS: '10' }, 9_000],
  [{ TERMINATION_GRACE_PERIOD_SECONDS: '1' }, 1_000],
  [{ TERMINATION_GRACE_PERIOD_SECONDS: '30', CONNECTION_TERMINATION_DEADLINE: '500ms' }, 500],
])('deadline %j', (env, deadline) => expect(loadConfig({ ...base, ...env }).terminationDeadline).toBe(deadline))

test('the cluster is named as in upstream’s manifest', () => {
  expect(loadConfig({ ...base, ISTIO_META_CLUSTER_ID: 'east' }).clusterId).toBe('east')
})

test('all that is wrong is told at once, each with its variable and what it may be', () => {
  const bad = {
    PACKET_MARK: '0x539',
    LOG_FORMAT: 'xml',
    POOL_UNUSED_RELEASE_TIMEOUT: '5',
    ENABLE_ORIG_SRC: 'yes',
    RUST_LOG: 'loud',
    XDS_ADDRESS: 'https://istiod',
  }
  let message = ''
  try {
    loadConfig(bad)
  } catch (error) {
    message = (error as Error).message
  }
  for (const name of [...Object.keys(bad), 'LOCAL_XDS_PATH', 'LOCAL_CA_DIR']) expect(message).toContain(name)
  expect(message).toContain('PACKET_MARK="0x539": expected a whole number from 1 to 4294967295')
})
