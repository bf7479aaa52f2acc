import { expect, test } from 'vitest'
import type { ReportCase } from '../../report.ts'
import { axesOf, matching, sectionsOf } from './matrix.ts'
import { caseWords } from './words.ts'

const make = (id: string, more: Partial<ReportCase> = {}): ReportCase => ({
  key: id,
  id,
  mode: id.split(/[@/]/)[0]!,
  release: id.includes('@') ? '1.21' : 'today',
  batch: 0,
  verdict: 'pass',
  durationMs: 1,
  reproduce: '',
  axes: { traffic: id.split('/')[1]!, protocol: id.split('/')[4] ?? '' },
  legs: [],
  checks: [],
  packets: [],
  ...more,
})
const cases = [
  make('inpod/mesh-to-mesh/same-node/pod-ip/http'),
  make('inpod/mesh-to-mesh/same-node/pod-ip/tcp'),
  make('inpod/mesh-to-mesh/other-node/pod-ip/tcp', { verdict: 'fail', reason: 'the route is missing' }),
  make('inpod/mesh-to-mesh/other-node/pod-ip/http/pooled'),
  make('inpod/disruption/ztunnel-restart', { axes: {} }),
  make('inpod@1.21/probe/same-node/pod-ip/http'),
]

test('a case is told by what is special about it, each thing once', () => {
  const words = (id: string, axes: Record<string, string>) => caseWords({ id, axes: { traffic: 'direct', protocol: 'tcp', ...axes } })
  expect(words('inpod/direct/other-node/pod-ip/tcp/mesh-15006', { connection: 'pooled' })).toBe(
    'direct to the proxy’s ports, TCP, port 15006, from a pod of the mesh, on an open tunnel',
  )
  expect(words('inpod/x/other-node/pod-ip/tcp/bulk', { exchange: 'bulk', connection: 'pooled' })).toMatch(
    /, TCP, 8 MiB both ways, on an open tunnel$/,
  )
  expect(words('inpod/x/other-node/pod-ip/tcp/pooled', { connection: 'pooled' })).toMatch(/, TCP, on an open tunnel$/)
  expect(words('inpod/x/other-node/pod-ip/tcp', { policy: 'strict', exchange: 'echo', connection: 'new' })).toMatch(/, TCP, policy strict$/)
})

test('cells stand in a grid of where by what; variants and other kinds beside it; each mode and release apart', () => {
  const [today, old] = sectionsOf(cases)
  expect(old!.name).toBe('inpod@1.21')
  const [mesh, disruption] = today!.groups
  expect(mesh!.columns).toEqual(['http', 'tcp'])
  expect(mesh!.rows.map((r) => [r.name, ...r.cells.map((c) => c?.id.split('/').at(-1))])).toEqual([
    ['same node · pod IP', 'http', 'tcp'],
    ['other node · pod IP', undefined, 'tcp'],
  ])
  expect(mesh!.others.map((o) => [o.name, o.where])).toEqual([['on an open tunnel', 'other node · pod IP · HTTP/1.1']])
  expect(disruption!.others.map((o) => o.name)).toEqual(['ztunnel restart'])
})

test('filters are offered for axes in which cases differ', () => {
  expect(axesOf(cases).map(([axis]) => axis)).toEqual(['mode', 'traffic', 'protocol'])
  expect(axesOf(cases.slice(0, 1))).toEqual([])
})

test('search finds every word somewhere in a case; filters must all fit', () => {
  const ids = (q: string, filters = {}) => matching({ cases }, { q, filters }).map((c) => cases.indexOf(c))
  expect(ids('')).toHaveLength(6)
  expect(ids('ROUTE missing')).toEqual([2])
  expect(ids('tcp same-node')).toEqual([1])
  expect(ids('', { verdict: 'fail' })).toEqual([2])
  expect(ids('', { protocol: 'tcp', mode: 'inpod' })).toEqual([1, 2])
  expect(ids('', { mode: 'inpod@1.21' })).toEqual([5])
})
