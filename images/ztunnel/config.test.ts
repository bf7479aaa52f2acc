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

test('the control plane is upstream’s unless the environment says where, or that there is none', () => {
  const istiod = {
    host: 'istiod.istio-system.svc',
    port: 15012,
    rootCa: './var/run/secrets/istio/root-cert.pem',
    alternativeHost: undefined,
    headers: {},
  }
  expect(loadConfig({}).controlPlane).toEqual({
    xds: istiod,
    ca: istiod,
    tokenPath: './var/run/secrets/tokens/istio-token',
    instanceIp: '1.1.1.1',
    nodeMetadata: {},
  })
  expect(
    loadConfig({
      XDS_ADDRESS: 'https://[fd00::1]:15010',
      CA_ADDRESS: 'https://ca.example',
      XDS_ROOT_CA: '/xds.pem',
      CA_ROOT_CA: '/ca.pem',
      ALT_XDS_HOSTNAME: 'xds.example',
      ALT_CA_HOSTNAME: 'other.example',
      CA_HEADER_Team: 'blue',
      TOKEN_PATH: '/token',
      INSTANCE_IP: '10.0.0.9',
      ISTIO_META_CLUSTER_ID: 'east',
    }).controlPlane,
  ).toEqual({
    xds: { host: 'fd00::1', port: 15010, rootCa: '/xds.pem', alternativeHost: 'xds.example', headers: {} },
    ca: { host: 'ca.example', port: 15012, rootCa: '/ca.pem', alternativeHost: 'other.example', headers: { team: 'blue' } },
    tokenPath: '/token',
    instanceIp: '10.0.0.9',
    nodeMetadata: { CLUSTER_ID: 'east' },
  })
  for (const env of [base, { ...base, XDS_ADDRESS: '', CA_ADDRESS: '' }])
    expect(loadConfig(env).controlPlane).toMatchObject({ xds: undefined, ca: undefined })
})

test.each([
  ['XDS_ADDRESS', 'LOCAL_XDS_PATH'],
  ['CA_ADDRESS', 'LOCAL_CA_DIR'],
])('an empty %s asks for %s', (server, local) => {
  expect(() => loadConfig({ [server]: '' })).toThrow(`${local} is not set, and ${server} is empty`)
})

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
    XDS_ADDRESS: 'http://istiod:15012',
    CA_ADDRESS: 'istiod:15012',
  }
  let message = ''
  try {
    loadConfig(bad)
  } catch (error) {
    message = (error as Error).message
  }
  for (const name of Object.keys(bad)) expect(message).toContain(name)
  expect(message).toContain('PACKET_MARK="0x539": expected a whole number from 1 to 4294967295')
})
