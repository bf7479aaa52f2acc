import { bindCases, type Participant, type Unbound } from '../matrix/bind.ts'
import { casesOf } from '../matrix/cases.ts'
import type { Case } from '../matrix/cell.ts'
import { modeOf } from '../modes/index.ts'
import { appPorts } from '../run/decisive.ts'
import type { Expectation } from './expectation.ts'

/** The matrix of a mode, bound to the workloads of a made-up cluster of two nodes: for tests of what is promised, without a run. */
export function promised(
  mode: string,
  release = 'today',
  which: (c: Case) => boolean = () => true,
  who = participants(),
): { expectations: Expectation[]; unbound: Unbound[] } {
  const { path, limit } = modeOf(mode)
  const possible = casesOf(mode, release).filter((c) => limit(c) === undefined && which(c))
  const { bound, unbound } = bindCases(possible, who, appPorts, '10.96.0.10')
  return { expectations: bound.map((b, index) => ({ ...b, index, path: path(b), decisive: 'its condition' })), unbound }
}

export function participants(): Participant[] {
  return ['one', 'two'].flatMap((node, n) =>
    (['sleep', 'httpbin'] as const).flatMap((app, a) =>
      ['a', 'b', 'plain', ...(app === 'httpbin' ? ['impostor'] : ['c'])].map((suffix, i): Participant => {
        const name = `${app}-${node}-${suffix}`
        const ip = `10.244.${n}.${10 * (a + 1) + i}`
        const enrolled = ['a', 'b', 'c'].includes(suffix)
        return {
          node,
          netns: `demo.${name}`,
          ip,
          identity: suffix !== 'plain' ? `spiffe://cluster.local/ns/demo/sa/${name}` : '',
          veth: `veth${n}${a}${i}`,
          underlay: 'eth0',
          gateway: `10.244.${n}.1`,
          proxy: { netns: `istio-system.ztunnel-${node}`, ip: `10.244.${n}.9`, veth: `veth${n}z` },
          app,
          enrolled,
          impostor: suffix === 'impostor',
          principal: `cluster.local/ns/demo/sa/${name}`,
          name,
          namespace: 'demo',
          uid: name,
          dnsUncaptured: suffix === 'c',
          clusterIP: `10.96.${n}.${10 * a + i}`,
          serviceName: `${name}.demo.svc.cluster.local`,
          headlessName: `${name}-headless.demo.svc.cluster.local`,
        }
      }),
    ),
  )
}
