import { afterEach, beforeEach, expect, test } from 'vitest'
import { type TestNamespace, testNamespace } from '../testing/namespace.ts'
import { hostAddress } from './host-address.ts'

let node: TestNamespace
beforeEach(async () => {
  node = await testNamespace()
  for (const address of ['172.18.0.2/16', '10.244.1.1/32']) await node.run('ip', 'addr', 'add', address, 'dev', 'lo')
})
afterEach(() => node.close())

const find = (podCidr?: string, internalIp?: string) => hostAddress(`/proc/${node.pid}/ns/net`, { podCidr, internalIp })

test('the first address inside the pod CIDR, else the InternalIP', () => {
  expect(find('10.244.1.0/24', '172.18.0.2')).toBe('10.244.1.1')
  expect(find('10.244.2.0/24', '172.18.0.2')).toBe('172.18.0.2')
  expect(find('fd00:1::/64', '172.18.0.2')).toBe('172.18.0.2')
  expect(find(undefined, '172.18.0.2')).toBe('172.18.0.2')
})

test('neither: said', () => {
  expect(() => find('10.244.2.0/24')).toThrow('this node has no address in its pod network (podCIDR 10.244.2.0/24) and no InternalIP')
})
