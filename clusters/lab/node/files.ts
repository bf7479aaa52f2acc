import { existsSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** Address of the cluster's DNS service. */
export const clusterDns = '10.96.0.10'

/** Where distributions put the reference CNI plugins. */
const pluginDirectories = ['/usr/lib/cni', '/usr/libexec/cni']
const neededPlugins = ['ptp', 'host-local', 'loopback']

/**
 * The primary network, as kindnet makes it: a veth and one route per pod on the node, addresses from the node's range, no masquerade.
 * @param podCIDR the node's `.spec.podCIDR`
 */
export function primaryNetwork(podCIDR: string): object {
  return {
    cniVersion: '0.3.1',
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
          ranges: [[{ subnet: podCIDR }]],
        },
      },
    ],
  }
}

/**
 * Writes what a fresh node has on its disk.
 * @param root the node's root as seen from here
 * @throws Error that names the plugins that the host lacks
 */
export function writeNodeFiles(root: string, node: { name: string; address: string; podCIDR: string }): void {
  for (const path of ['etc/cni/net.d', 'opt/cni/bin', 'run/netns', 'var/lib/kubelet/pods', 'var/log/pods', 'var/log/containers'])
    mkdirSync(join(root, path), { recursive: true })
  writeFileSync(join(root, 'etc/cni/net.d/10-everyhop.conflist'), `${JSON.stringify(primaryNetwork(node.podCIDR), null, 2)}\n`)
  writeFileSync(join(root, 'etc/hostname'), `${node.name}\n`)
  writeFileSync(join(root, 'etc/hosts'), `127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n${node.address}\t${node.name}\n`)
  const directory = pluginDirectories.find((path) => existsSync(join(path, 'ptp')))
  const missing = directory ? neededPlugins.filter((name) => !existsSync(join(directory, name))) : neededPlugins
  if (!directory || missing.length > 0)
    throw new Error(
      `CNI plugins ${missing.join(', ')} are not in ${pluginDirectories.join(' or ')}; fix: apt install containernetworking-plugins`,
    )
  for (const name of readdirSync(directory)) symlinkSync(join(directory, name), join(root, 'opt/cni/bin', name))
}
