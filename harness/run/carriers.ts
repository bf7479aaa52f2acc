import type { InterfaceLine } from '../evidence/parse/events.ts'

/** Kinds of devices that put one network's frames into datagrams of another. */
const tunnelKinds: readonly string[] = ['geneve', 'vxlan']

/**
 * What carries the tunnels of the nodes, `istioin vxlan, istioout vxlan`: where the kernel has no GENEVE its VXLAN does, with the header rewritten. Undefined: there are none.
 * @param interfaces of each node
 */
export function carriersOf(interfaces: Iterable<readonly InterfaceLine[]>): string | undefined {
  const devices = [...interfaces].flat().filter((l) => l.netns === 'node' && l.kind !== undefined && tunnelKinds.includes(l.kind))
  return devices.length === 0 ? undefined : [...new Set(devices.map((l) => `${l.dev} ${l.kind}`))].sort().join(', ')
}
