import { expect, test } from 'vitest'
import { carriersOf } from './carriers.ts'

const line = (dev: string, kind?: string, netns = 'node') => ({
  t: 0,
  index: 1,
  mac: '',
  addresses: [],
  netns,
  dev,
  ...(kind === undefined ? {} : { kind }),
})

test('names the tunnel devices of nodes with their kinds, each once; of none it says nothing', () => {
  const node = [line('lo'), line('veth1', 'veth'), line('istioout', 'vxlan'), line('istioin', 'vxlan')]
  expect(carriersOf([node, node])).toBe('istioin vxlan, istioout vxlan')
  expect(carriersOf([node, [line('istioin', 'geneve')]])).toBe('istioin geneve, istioin vxlan, istioout vxlan')
  expect(carriersOf([[line('pistioin', 'vxlan', 'istio-system.ztunnel')], [line('eth0', 'veth')]])).toBeUndefined()
})
