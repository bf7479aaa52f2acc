import { networkInterfaces } from 'node:os'
import ipaddr from 'ipaddr.js'
import { inNetnsAt } from '../../lib/netns.ts'

/**
 * The node's address in its own pod network, as upstream finds it: the first of its IPv4 addresses that lies in the node's pod CIDR,
 * else its InternalIP. It is what the node's probes of its pods come from.
 * @param netns file of the node's network namespace
 * @throws Error when it has neither
 */
export function hostAddress(
  netns: string,
  network: { readonly podCidr: string | undefined; readonly internalIp: string | undefined },
): string {
  const { podCidr, internalIp } = network
  if (podCidr) {
    const range = ipaddr.parseCIDR(podCidr)
    const all = Object.values(inNetnsAt(netns, () => networkInterfaces())).flatMap((list) => list ?? [])
    const found = all.find(({ family, address }) => family === 'IPv4' && range[0].kind() === 'ipv4' && ipaddr.parse(address).match(range))
    if (found) return found.address
  }
  if (internalIp) return internalIp
  throw new Error(`this node has no address in its pod network (podCIDR ${podCidr ?? 'not set'}) and no InternalIP`)
}
