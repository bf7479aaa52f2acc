import { clusterDns } from '../node/files.ts'
import { type Pod, podName } from './pod.ts'
import { hostName } from './sandbox.ts'

/** The files that a kubelet writes into a container's /etc. */
export function etcFiles(
  pod: Pod,
  podIP: string,
  nodeFiles: { hosts: string; hostname: string; resolver: string },
): Record<string, string> {
  const onHost = pod.spec.hostNetwork === true
  return {
    hosts: onHost ? nodeFiles.hosts : hosts(pod, podIP),
    hostname: onHost ? nodeFiles.hostname : `${hostName(pod)}\n`,
    'resolv.conf': resolver(pod, nodeFiles.resolver),
  }
}

function hosts(pod: Pod, podIP: string): string {
  const lines = [
    '# Kubernetes-managed hosts file.',
    '127.0.0.1\tlocalhost',
    '::1\tlocalhost ip6-localhost ip6-loopback',
    'fe00::\tip6-localnet',
  ]
  const { subdomain } = pod.spec
  const full = subdomain ? `${hostName(pod)}.${subdomain}.${pod.metadata.namespace}.svc.cluster.local\t` : ''
  const aliases = (pod.spec.hostAliases ?? []).map(({ ip, hostnames = [] }) => `${ip}\t${hostnames.join('\t')}`)
  return `${[...lines, `${podIP}\t${full}${hostName(pod)}`, ...aliases].join('\n')}\n`
}

/** As the kubelet's dnsPolicy: a pod on the host network asks the cluster only if it says so. */
function resolver(pod: Pod, ofNode: string): string {
  const { dnsPolicy = 'ClusterFirst', dnsConfig, hostNetwork } = pod.spec
  const cluster = dnsPolicy === 'ClusterFirstWithHostNet' || (dnsPolicy === 'ClusterFirst' && !hostNetwork)
  if (!cluster && dnsPolicy !== 'None') return ofNode
  if (dnsPolicy === 'None' && !dnsConfig?.nameservers?.length)
    throw new Error(`pod ${podName(pod)}: dnsPolicy None needs dnsConfig.nameservers`)
  const own = cluster ? [`${pod.metadata.namespace}.svc.cluster.local`, 'svc.cluster.local', 'cluster.local'] : []
  const search = [...own, ...(dnsConfig?.searches ?? [])]
  const servers = [...(cluster ? [clusterDns] : []), ...(dnsConfig?.nameservers ?? [])]
  const options = new Map((cluster ? [['ndots', '5']] : []) as [string, string | undefined][])
  for (const { name = '', value } of dnsConfig?.options ?? []) options.set(name, value)
  const list = [...options].map(([name, value]) => (value === undefined ? name : `${name}:${value}`))
  return [
    ...(search.length > 0 ? [`search ${search.join(' ')}`] : []),
    ...servers.map((server) => `nameserver ${server}`),
    ...(list.length > 0 ? [`options ${list.join(' ')}`] : []),
    '',
  ].join('\n')
}
