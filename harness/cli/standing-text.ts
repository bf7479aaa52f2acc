import type { Standing } from '../../clusters/standing.ts'

/** What stands, and what one can do with it. */
export function standingText({ name, mode, release, topology, handle }: Standing, how: string): string {
  const pods = (node: string) => topology.pods.filter((p) => p.node === node).map((p) => p.name)
  const width = Math.max(...handle.nodes.map((n) => n.name.length))
  const [first] = topology.pods
  return [
    `cluster ${name} ${how}: mode ${mode}, release ${release}, topology ${topology.name}`,
    ...handle.nodes.map((n) => `  ${n.name.padEnd(width)}  ${n.address}  ${pods(n.name).join(' ')}`),
    `look into it: bin/everyhop shell ${first?.name ?? handle.nodes[0]?.name} --cluster ${name}`,
    `use it:       npm start -- --cluster ${name}`,
    `with kubectl: KUBECONFIG=${handle.kubeconfig}`,
    `end it:       bin/everyhop down ${name}`,
  ].join('\n')
}
