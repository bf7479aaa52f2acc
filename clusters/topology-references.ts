import { serverPorts } from '../images/lib/app-protocol.ts'
import type { Topology, TopologyProblem } from './topology.ts'

/** Namespaces that the cluster or the mesh makes itself. */
const reserved = ['istio-system', 'kube-system', 'default', 'kube-public', 'kube-node-lease']
/** The underlay has addresses for this many nodes. */
const mostNodes = 200

/** What no schema can say: names that must be there, and be there once. */
export function checkReferences(topology: Topology): TopologyProblem[] {
  const problems: TopologyProblem[] = []
  const report = (path: TopologyProblem['path'], message: string) => problems.push({ path, message })

  const unique = (list: string, names: readonly string[], field: readonly string[], what: string) => {
    names.forEach((name, i) => {
      if (names.indexOf(name) !== i)
        report([list, i, ...field], `${what} is there twice (first as ${list}.${names.indexOf(name)}); fix: rename one`)
    })
  }
  unique('nodes', topology.nodes, [], 'this name')
  const qualified = (x: { name: string; namespace: string }) => `${x.namespace}/${x.name}`
  unique('pods', topology.pods.map(qualified), ['name'], 'a pod of this name in the same namespace')
  unique('services', topology.services.map(qualified), ['name'], 'a service of this name in the same namespace')
  if (topology.nodes.length > mostNodes)
    report(['nodes'], `${topology.nodes.length} nodes, at most ${mostNodes} are possible; fix: use fewer`)

  const namespaces = Object.keys(topology.namespaces)
  const known = (value: string, names: readonly string[], path: TopologyProblem['path'], list: string) => {
    if (!names.includes(value))
      report(path, `${JSON.stringify(value)} is not in "${list}"; fix: add it there, or use one of ${names.join(', ') || '(none)'}`)
  }
  for (const name of namespaces)
    if (reserved.includes(name)) report(['namespaces', name], 'is made by the cluster itself; fix: use another name')
  topology.pods.forEach((pod, i) => {
    known(pod.node, topology.nodes, ['pods', i, 'node'], 'nodes')
    known(pod.namespace, namespaces, ['pods', i, 'namespace'], 'namespaces')
  })

  topology.services.forEach((service, i) => {
    known(service.namespace, namespaces, ['services', i, 'namespace'], 'namespaces')
    const wanted = Object.entries(service.selector)
    const backends = topology.pods.filter(
      (pod) => pod.namespace === service.namespace && wanted.every(([key, value]) => pod.labels[key] === value),
    )
    if (wanted.length === 0) report(['services', i, 'selector'], 'is empty; fix: name a label of the pods that serve it')
    else if (backends.length === 0)
      report(['services', i, 'selector'], `matches no pod of namespace ${service.namespace}; fix: give a pod these labels, or change them`)
    service.ports.forEach((port, j) => {
      const at = ['services', i, 'ports', j]
      if (service.ports.findIndex((p) => p.name === port.name) !== j) report([...at, 'name'], 'is there twice; fix: rename one')
      if (service.ports.findIndex((p) => p.port === port.port) !== j) report([...at, 'port'], 'is there twice; fix: change one')
      const silent = backends.find((pod) => pod.app !== 'httpbin' || !serverPorts.includes(port.targetPort))
      if (silent) {
        const why =
          silent.app === 'httpbin'
            ? `httpbin listens on ${serverPorts.join(', ')}`
            : `pod ${silent.name} runs ${silent.app}, which listens on nothing`
        report([...at, 'targetPort'], `${port.targetPort} is not served: ${why}; fix: change the port or the selector`)
      }
    })
  })
  return problems
}
