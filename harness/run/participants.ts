import type { InterfaceLine } from '../evidence/parse/events.ts'
import type { TopologyRecord } from '../evidence/topology-record.ts'
import type { Participant } from '../matrix/bind.ts'

const TRUST_DOMAIN = 'cluster.local'

/**
 * Who can take part in cases: the topology's pods with the devices that the collectors saw.
 * @param interfaces per node name
 * @throws when a pod's device on its node is not known: its path could not be written down
 */
export function participantsOf(topology: TopologyRecord, interfaces: ReadonlyMap<string, readonly InterfaceLine[]>): Participant[] {
  return topology.pods.map((pod) => {
    const lines = interfaces.get(pod.node) ?? []
    const netns = `${pod.namespace}.${pod.name}`
    const inside = lines.find((l) => l.netns === netns && l.dev === 'eth0')
    const veth = lines.find((l) => l.netns === 'node' && l.index === inside?.peerIndex)
    const address = topology.nodes.find((n) => n.name === pod.node)?.address
    const underlay = lines.find((l) => l.netns === 'node' && l.addresses.some((a) => bare(a) === address))
    const gateway = veth?.addresses.map(bare).find((a) => a.includes('.'))
    if (!veth || !underlay || !gateway) {
      const lacking = [
        !veth && `the device of ${netns}`,
        !underlay && `the device with address ${address}`,
        veth && !gateway && `an address on ${veth.dev}`,
      ]
      throw new Error(`node ${pod.node}: ${lacking.filter(Boolean).join(' and ')} was not found among its interfaces`)
    }
    const proxy = proxyOn(pod.node, topology, lines)
    const principal = `${TRUST_DOMAIN}/ns/${pod.namespace}/sa/${pod.serviceAccount}`
    const alone = topology.services.filter((s) => s.pods.length === 1 && s.pods[0] === `${pod.namespace}/${pod.name}`)
    const service = alone.find((s) => s.clusterIP !== 'None')
    const headless = alone.find((s) => s.clusterIP === 'None')
    return {
      node: pod.node,
      netns,
      ip: pod.ip,
      identity: pod.enrolled || pod.tunnel ? `spiffe://${principal}` : '',
      veth: veth.dev,
      underlay: underlay.dev,
      gateway,
      ...(proxy ? { proxy } : {}),
      app: pod.app,
      enrolled: pod.enrolled,
      impostor: pod.tunnel === true,
      principal,
      name: pod.name,
      namespace: pod.namespace,
      uid: pod.uid,
      dnsUncaptured: pod.dnsUncaptured === true,
      ...(service ? { clusterIP: service.clusterIP, serviceName: hostname(service) } : {}),
      ...(headless ? { headlessName: hostname(headless) } : {}),
    }
  })
}

function proxyOn(node: string, topology: TopologyRecord, lines: readonly InterfaceLine[]): Participant['proxy'] {
  const proxy = topology.proxies.find((p) => p.node === node)
  const netns = `${proxy?.namespace}.${proxy?.name}`
  const inside = lines.find((l) => l.netns === netns && l.dev === 'eth0')
  const veth = lines.find((l) => l.netns === 'node' && l.index === inside?.peerIndex)
  const ip = inside?.addresses.map(bare).find((a) => a.includes('.'))
  return veth && ip ? { netns, ip, veth: veth.dev } : undefined
}

const hostname = (s: { name: string; namespace: string }) => `${s.name}.${s.namespace}.svc.${TRUST_DOMAIN}`
const bare = (address: string) => address.replace(/\/\d+$/, '')
