import { release } from 'node:os'
import type { KubernetesObject } from '../../kubernetes.ts'
import type { LabNode } from '../node/node.ts'
import { nodeResources } from './fields.ts'
import { apiTime } from './pod.ts'

/** The Node object by which the cluster knows a node of the lab. */
export function nodeObject(node: LabNode): KubernetesObject {
  const time = apiTime()
  const condition = (type: string, status: string, reason: string, message: string) => ({
    type,
    status,
    reason,
    message,
    lastHeartbeatTime: time,
    lastTransitionTime: time,
  })
  return {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: {
      name: node.name,
      labels: {
        'beta.kubernetes.io/arch': 'amd64',
        'beta.kubernetes.io/os': 'linux',
        'kubernetes.io/arch': 'amd64',
        'kubernetes.io/hostname': node.name,
        'kubernetes.io/os': 'linux',
      },
    },
    spec: { podCIDR: node.podCIDR, podCIDRs: [node.podCIDR], providerID: `everyhop://lab/${node.name}` },
    status: {
      addresses: [
        { type: 'InternalIP', address: node.address },
        { type: 'Hostname', address: node.name },
      ],
      capacity: { ...nodeResources },
      allocatable: { ...nodeResources },
      conditions: [
        condition('MemoryPressure', 'False', 'KubeletHasSufficientMemory', 'kubelet has sufficient memory available'),
        condition('DiskPressure', 'False', 'KubeletHasNoDiskPressure', 'kubelet has no disk pressure'),
        condition('PIDPressure', 'False', 'KubeletHasSufficientPID', 'kubelet has sufficient PID available'),
        condition('Ready', 'True', 'KubeletReady', 'kubelet is posting ready status'),
      ],
      nodeInfo: {
        architecture: 'amd64',
        bootID: '',
        containerRuntimeVersion: 'everyhop://0.1',
        kernelVersion: release(),
        kubeProxyVersion: 'v1.34.4',
        kubeletVersion: 'v1.34.4',
        machineID: node.name,
        operatingSystem: 'linux',
        osImage: 'Everyhop lab',
        systemUUID: node.name,
      },
    },
  }
}
