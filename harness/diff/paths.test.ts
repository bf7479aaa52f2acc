import { expect, test } from 'vitest'
import type { Expectation } from '../judge/expectation.ts'
import type { CaseVerdict } from '../judge/verdict.ts'
import { type Device, flow, type Hop, hop, leg, packet, trace } from '../modes/path.ts'
import { diffSides, type Side } from './paths.ts'
import { sideDifferenceText } from './text.ts'

const place = (netns: string, ip: string) => ({
  node: 'one',
  netns,
  ip,
  identity: '',
  veth: `veth-${netns}`,
  underlay: 'eth0',
  gateway: '10.0.0.1',
})
const eth0 = (netns: string): Device => ({ node: 'one', netns, dev: 'eth0' })

/** One side of one case: its hops, on addresses of its own. */
function side(name: string, id: string, ip: string, hops: (from: string, netns: string) => Omit<Hop, 'id'>[]): Side {
  const netns = `demo.client-${name}`
  const expectation = {
    index: 0,
    case: { id, mode: 'inpod' },
    client: place(netns, ip),
    server: place('demo.server', '10.0.0.12'),
    destination: '10.0.0.12:80',
    endpoint: '10.0.0.12:80',
    decisive: '',
    path: { legs: [leg('app', 'app → ztunnel', 'clear', '', hops(`${ip}:$client`, netns))], bindings: {}, outcome: 'served' },
  } as unknown as Expectation
  return { name, cases: [{ expectation, verdict: { id, verdict: 'pass' } as CaseVerdict }] }
}

const leaves = (from: string, netns: string) =>
  hop('leaves the pod', eth0(netns), packet(eth0(netns), 'out', 'syn', flow(from, '10.0.0.12:80')))
const turned = (rule: string) => (from: string, netns: string) =>
  hop('is turned', eth0(netns), trace(eth0(netns), 'syn', flow(from, '10.0.0.12:80'), 'nat OUTPUT', { rule }, 0))

test('the same path on other addresses and devices does not part', () => {
  const hops = (f: string, n: string) => [leaves(f, n), turned('-j REDIRECT')(f, n)]
  const d = diffSides(side('a', 'inpod/x', '10.0.0.1', hops), side('b', 'inpod@b/x', '10.0.0.2', hops))
  expect(d.cases).toEqual([{ case: 'x', verdicts: ['pass', 'pass'], together: 2, steps: [] }])
  expect(sideDifferenceText(d)).toBe('a and b: 1 cases in both, of which 0 take another path')
})

test('another rule at the same hop parts them there, with what each side asks for', () => {
  const of = (rule: string) => (f: string, n: string) => [leaves(f, n), turned(rule)(f, n)]
  const d = diffSides(side('a', 'inpod/x', '10.0.0.1', of('-j REDIRECT')), side('b', 'inpod@b/x', '10.0.0.2', of('-j TPROXY')))
  expect(d.cases[0]).toMatchObject({ together: 1 })
  const text = sideDifferenceText(d)
  expect(text).toContain('x\n  the first 1 hops are the same; then they part:\n    app → ztunnel: is turned\n')
  expect(text).toContain('a: syn CLIENT:$client → SERVER:PORT meets "-j REDIRECT" in nat OUTPUT of CLIENT, mark 0x0')
  expect(text).toContain('b: syn CLIENT:$client → SERVER:PORT meets "-j TPROXY"')
})

test('a hop that only one side has parts them, and those after it are matched again', () => {
  const d = diffSides(
    side('a', 'inpod/x', '10.0.0.1', (f, n) => [turned('-j X')(f, n), leaves(f, n)]),
    side('b', 'inpod@b/x', '10.0.0.1', (f, n) => [leaves(f, n)]),
  )
  expect(d.cases[0]).toMatchObject({ together: 0, steps: [[{ title: 'is turned' }, undefined]] })
  expect(sideDifferenceText(d)).toContain('b: has no such hop')
})

test('cases that only one side has are listed', () => {
  const d = diffSides(
    side('a', 'inpod/x', '10.0.0.1', () => []),
    side('b', 'inpod@b/y', '10.0.0.1', () => []),
  )
  expect(d).toMatchObject({
    cases: [],
    alone: [
      { case: 'x', side: 'a' },
      { case: 'y', side: 'b' },
    ],
  })
})
