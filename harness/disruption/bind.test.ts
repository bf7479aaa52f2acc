import { expect, test } from 'vitest'
import type { TopologyRecord } from '../evidence/topology-record.ts'
import { inEachOthersWay, type LoadPlan, planLoads } from './bind.ts'
import { type Disruption, disruptionsOf } from './cells.ts'

/** `node name app`, enrolled or not. */
const topology = (enrolled: readonly string[], plain: readonly string[]): TopologyRecord => {
  const pods = [...enrolled.map((text) => ({ text, enrolled: true })), ...plain.map((text) => ({ text, enrolled: false }))]
  return {
    pods: pods.map(({ text, enrolled }, i) => {
      const [node, name, app] = text.split(' ')
      return { node, name, namespace: 'demo', app, enrolled, uid: name, ip: `10.0.0.${i}` }
    }),
  } as unknown as TopologyRecord
}
const small = topology(['one s httpbin', 'one c sleep'], ['one ps httpbin', 'one pc sleep'])
const large = topology(
  ['one sa httpbin', 'one sb httpbin', 'one ca sleep', 'one cb sleep', 'two sc httpbin', 'two sd httpbin', 'two cc sleep', 'two cd sleep'],
  ['one pc sleep', 'one ps httpbin', 'two pc2 sleep', 'two ps2 httpbin'],
)
const plan = (of: TopologyRecord) => planLoads(of) as LoadPlan
const ends = (of: TopologyRecord, c: Disruption) => {
  const { client, server } = plan(of).of(c)
  return [client, server]
}
const all = disruptionsOf('inpod')
const ofPods = all.filter((c) => c.subject !== 'mesh')

test('loads go between nodes where there are two; of established connections one end is in the mesh, the subject', () => {
  for (const c of all) {
    const [client, server] = ends(large, c)
    expect(client!.node, c.id).not.toBe(server!.node)
    const plain = [client, server].filter((p) => p!.netns.startsWith('demo.p'))
    expect(plain, c.id).toEqual(c.connections === 'new' ? [] : [c.subject === 'server' ? client : server])
  }
})

test('disruptions of single pods have pods of their own where there are enough, and go side by side; those of one pod, and those of the whole mesh, do not', () => {
  const subjects = Map.groupBy(ofPods, (c) => `${c.connections} ${c.subject}`)
  const used = [...subjects.values()].flatMap(([c]) => ends(large, c!).map((p) => p.uid))
  expect(new Set(used).size).toBe(8)
  for (const a of all)
    for (const b of all.filter((other) => other !== a)) {
      const apart = a.subject !== 'mesh' && b.subject !== 'mesh' && `${a.connections} ${a.subject}` !== `${b.connections} ${b.subject}`
      expect(inEachOthersWay(plan(large), a, b), `${a.id} ${b.id}`).toBe(!apart)
      // With one pod of a kind, only established connections each way have different ones.
      expect(inEachOthersWay(plan(small), a, b), `${a.id} ${b.id}`).toBe(
        !(apart && a.connections === 'established' && b.connections === 'established'),
      )
    }
})

test('a topology that lacks an end is told which', () => {
  expect(planLoads(topology(['one s httpbin', 'one c sleep'], ['one ps httpbin']))).toBe('the topology has no unmeshed sleep and httpbin')
  expect(planLoads(topology(['one c sleep'], ['one ps httpbin', 'one pc sleep']))).toBe('the topology has no enrolled sleep and httpbin')
})
