import { expect, test } from 'vitest'
import { networkConfiguration, routesOf } from './network.ts'

const node = (name: string, i: number) => ({ name, container: `c-${name}`, address: `172.18.0.${i + 2}`, podCIDR: `10.244.${i}.0/24` })
const nodes = ['control-plane', 'one', 'two'].map(node)

test('every node has a route to the pods of each other one, through its address, and none to its own', () => {
  expect(routesOf(nodes[1]!, nodes)).toEqual([
    'ip route replace 10.244.0.0/24 via 172.18.0.2',
    'ip route replace 10.244.2.0/24 via 172.18.0.4',
  ])
})

test('ptp gives each pod a link, without masquerading, as kindnet does', () => {
  expect(networkConfiguration('ptp', '10.244.1.0/24')).toEqual({
    cniVersion: '1.0.0',
    name: 'everyhop',
    plugins: [
      {
        type: 'ptp',
        ipMasq: false,
        mtu: 1500,
        ipam: {
          type: 'host-local',
          dataDir: '/run/cni-ipam-state',
          routes: [{ dst: '0.0.0.0/0' }],
          ranges: [[{ subnet: '10.244.1.0/24' }]],
        },
      },
      { type: 'portmap', capabilities: { portMappings: true } },
    ],
  })
})

test('bridge puts them on one that is their gateway, and lets a pod reach itself through a service', () => {
  const { plugins } = networkConfiguration('bridge', '10.244.1.0/24') as { plugins: object[] }
  expect(plugins[0]).toMatchObject({ type: 'bridge', isGateway: true, hairpinMode: true, ipMasq: false, bridge: 'cni0' })
})
