import { execa } from 'execa'
import { type TestNamespace, testNamespace } from './namespace.ts'

/** A node with pods behind veth pairs, each with a route of its own, as kind's ptp layout has them; addresses are those of the goldens. For tests. */
export interface NodeNetwork extends AsyncDisposable {
  readonly node: TestNamespace
  /** A pod's namespace; @param last the last byte of its address in the node's /24 */
  addPod(name: string, last: number): Promise<TestNamespace>
  removePod(name: string): Promise<void>
}

/**
 * @param number the node's: its pods are 10.244.NUMBER.x, its own address 172.18.0.(NUMBER+1)
 * @param neighbour another one, to which it is joined; without one its wire ends in the node itself
 */
export async function nodeNetwork(number = 1, neighbour?: NodeNetwork): Promise<NodeNetwork> {
  const node = await testNamespace()
  const pods = new Map<string, TestNamespace>()
  // Strict at first, so that whatever is changed shows.
  await node.run(
    'sh',
    '-c',
    'for k in all default; do echo 1 > /proc/sys/net/ipv4/conf/$k/rp_filter; done; echo 1 > /proc/sys/net/ipv4/ip_forward',
  )
  if (neighbour) await neighbour.node.run('ip', 'link', 'set', 'wire', 'netns', String(node.pid), 'name', 'eth0')
  await batch(node, [
    ...(neighbour ? [] : ['link add name eth0 type veth peer name wire', 'link set wire up']),
    `addr add 172.18.0.${number + 1}/16 dev eth0`,
    'link set eth0 up',
    'route add default via 172.18.0.1 dev eth0',
    ...[1, 2].filter((n) => n !== number).map((n) => `route add 10.244.${n}.0/24 via 172.18.0.${n + 1} dev eth0`),
  ])
  return {
    node,
    async addPod(name, last) {
      const pod = await testNamespace()
      pods.set(name, pod)
      const ip = `10.244.${number}.${last}`
      const outer = `veth-${name}`
      const gateway = `10.244.${number}.1`
      await pod.run(
        'sh',
        '-c',
        'for k in all default; do echo 1 > /proc/sys/net/ipv4/conf/$k/rp_filter; done; echo 1 > /proc/sys/net/ipv4/ip_forward',
      )
      await batch(node, [
        `link add name ${outer} type veth peer name eth0 netns ${pod.pid}`,
        `addr add ${gateway}/32 dev ${outer}`,
        `link set ${outer} up`,
        `route add ${ip} dev ${outer} scope host`,
      ])
      await batch(pod, [
        `addr add ${ip}/24 dev eth0`,
        'link set eth0 up',
        `route del 10.244.${number}.0/24 dev eth0`,
        `route add ${gateway} dev eth0 scope link src ${ip}`,
        `route add 10.244.${number}.0/24 via ${gateway} dev eth0 src ${ip}`,
        `route add default via ${gateway} dev eth0`,
      ])
      return pod
    },
    async removePod(name) {
      await node.run('ip', 'link', 'del', `veth-${name}`)
      await pods.get(name)?.close()
      pods.delete(name)
    },
    async [Symbol.asyncDispose]() {
      await Promise.all([node, ...pods.values()].map((n) => n.close()))
    },
  }
}

async function batch(namespace: TestNamespace, lines: readonly string[]): Promise<void> {
  await execa('nsenter', [`--net=/proc/${process.pid}/fd/${namespace.fd}`, '--', 'ip', '-batch', '-'], { input: `${lines.join('\n')}\n` })
}
