import { expect, test } from 'vitest'
import { parseTopology } from '../../clusters/topology.ts'
import { casesOfMeshes, disruptionsOfMeshes, meshesOf } from '../modes/index.ts'
import { possibleOn } from './topology-limits.ts'

const topologyOf = (network: string) =>
  parseTopology(
    `{ name: t, nodes: [one], ${network} namespaces: { demo: {} }, pods: [{ name: a, namespace: demo, node: one, app: sleep }] }`,
    't.yaml',
  )
const cells = casesOfMeshes(meshesOf(['inpod', 'iptables'], undefined))

test.each(['', 'network: ptp,'])('where each pod has a link of its own (%j) every mode is possible', (network) =>
  expect(possibleOn(topologyOf(network), cells)).toEqual({ possible: cells, notRun: [] }),
)

test('where pods hang on a bridge the cells of mode iptables are left out, each with the reason', () => {
  const { possible, notRun } = possibleOn(topologyOf('network: bridge,'), cells)
  expect(possible).toEqual(cells.filter((c) => c.mode === 'inpod'))
  expect(notRun.map((c) => c.id)).toEqual(cells.filter((c) => c.mode === 'iptables').map((c) => c.id))
  for (const { reason } of notRun) expect(reason).toMatch(/mode iptables needs a route for each pod on its node.*istio#46163/)
})

test('a mesh that cannot be changed under load has its requests made, and its disruptions told as not run', () => {
  const { possible, notRun } = possibleOn(topologyOf(''), disruptionsOfMeshes(meshesOf(['inpod', 'iptables'], undefined)))
  expect(new Set(possible.map((c) => c.mode))).toEqual(new Set(['inpod']))
  expect(new Set(notRun.map((c) => c.mode))).toEqual(new Set(['iptables']))
})
