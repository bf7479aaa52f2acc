import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { loadTopology, parseTopology, TopologyError } from './topology.ts'

const good = `name: t
nodes: [one]
namespaces:
  demo: {}
pods:
  - name: a
    namespace: demo
    node: one
    app: httpbin
    labels: { app: a }
services:
  - name: a
    namespace: demo
    selector: { app: a }
    ports: [{ name: http, port: 80, targetPort: 8080 }]
`

describe('the shipped topology', () => {
  const topology = loadTopology('two-nodes')

  test('has on each node two clients and two servers in the mesh, one of each outside', () => {
    for (const node of topology.nodes) {
      const count = (namespace: string, app: string) =>
        topology.pods.filter((p) => p.node === node && p.namespace === namespace && p.app === app && p.labels.role === app).length
      expect([count('demo', 'sleep'), count('demo', 'httpbin'), count('plain', 'sleep'), count('plain', 'httpbin')]).toEqual([2, 2, 1, 1])
    }
    expect(topology.namespaces.demo?.labels).toEqual({ 'istio.io/dataplane-mode': 'ambient' })
    expect(topology.namespaces.plain?.labels).toEqual({})
  })

  test('has a ClusterIP service for each server, one for all, and a headless one', () => {
    const servers = topology.pods.filter((p) => p.labels.role === 'httpbin').map((p) => p.name)
    expect(
      topology.services
        .filter((s) => !s.clusterIP)
        .map((s) => s.name)
        .sort(),
    ).toEqual(['httpbin', ...servers].sort())
    expect(topology.services.filter((s) => s.clusterIP === 'None').map((s) => s.name)).toEqual([
      'httpbin-headless',
      'httpbin-one-a-headless',
      'httpbin-two-a-headless',
    ])
    for (const service of topology.services)
      expect(service.ports.map((p) => [p.port, p.targetPort])).toEqual([
        [80, 8080],
        [8081, 8081],
        [9000, 9000],
      ])
  })
})

describe('a mistake is named with file, line, path and fix', () => {
  test.each([
    ['an unknown node', ['node: one\n', 'node: three\n'], /^t\.yaml:8: pods\.0\.node: "three" is not in "nodes"; fix: .*use one of one$/],
    [
      'an unknown namespace',
      ['    namespace: demo\n    node', '    namespace: prod\n    node'],
      /^t\.yaml:7: pods\.0\.namespace: "prod" is not in "namespaces"; fix: /m,
    ],
    [
      'a selector without pods',
      ['selector: { app: a }', 'selector: { app: b }'],
      /^t\.yaml:14: services\.0\.selector: matches no pod of namespace demo; fix: /,
    ],
    ['an empty selector', ['selector: { app: a }', 'selector: {}'], /^t\.yaml:14: services\.0\.selector: is empty; fix: /],
    [
      'a port nobody serves',
      ['targetPort: 8080', 'targetPort: 8082'],
      /^t\.yaml:15: services\.0\.ports\.0\.targetPort: 8082 is not served: httpbin listens on 8080, 8081, 9000, 9001, 9002, 9003, 9004; fix: /,
    ],
    [
      'a server that is a client',
      ['app: httpbin', 'app: sleep'],
      /targetPort: 8080 is not served: pod a runs sleep, which listens on nothing/,
    ],
    ['a node twice', ['[one]', '[one, one]'], /^t\.yaml:2: nodes\.1: this name is there twice \(first as nodes\.0\); fix: rename one$/],
    [
      'a reserved namespace',
      ['  demo: {}', '  demo: {}\n  istio-system: {}'],
      /^t\.yaml:5: namespaces\.istio-system: is made by the cluster itself/,
    ],
    ['an unknown app', ['app: httpbin', 'app: nginx'], /^t\.yaml:9: pods\.0\.app: .*sleep.*httpbin/],
    ['an unknown key', ['    node: one', '    nodes: one'], /^t\.yaml:\d+: pods\.0: .*nodes/m],
    [
      'a bad name',
      ['name: a\n    namespace: demo\n    node', 'name: A_\n    namespace: demo\n    node'],
      /^t\.yaml:6: pods\.0\.name: must be a DNS label/,
    ],
    ['bad syntax', ['nodes: [one]', 'nodes: [one'], /^t\.yaml:\d+: not YAML: /],
    ['an alias of nothing', ['nodes: [one]', 'nodes: *all'], /^t\.yaml:\d+: not YAML: .*alias.*all/i],
    ['a key twice', ['nodes: [one]', 'nodes: [one]\nnodes: [two]'], /^t\.yaml:3: not YAML: .*unique/],
  ])('%s', (_, [from, to], message) => {
    expect(good).toContain(from)
    expect(() => parseTopology(good.replace(from as string, to as string), 't.yaml')).toThrow(message)
    expect(() => parseTopology(good.replace(from as string, to as string), 't.yaml')).toThrow(TopologyError)
  })

  test('a pod twice in a namespace, but not in two', () => {
    const pod = (namespace: string) => `  - { name: a, namespace: ${namespace}, node: one, app: sleep }\n`
    const two = good.replace('  demo: {}', '  demo: {}\n  other: {}')
    expect(parseTopology(two.replace('services:', `${pod('other')}services:`), 't.yaml').pods).toHaveLength(2)
    expect(() => parseTopology(two.replace('services:', `${pod('demo')}services:`), 't.yaml')).toThrow(
      /pods\.1\.name: a pod of this name .* twice/,
    )
  })

  test('all mistakes at once', () => {
    const bad = good.replace('node: one', 'node: x').replace('selector: { app: a }', 'selector: { app: b }')
    expect(() => parseTopology(bad, 't.yaml')).toThrow(/pods\.0\.node.*\n.*services\.0\.selector/)
  })

  test('whatever the file holds, the error is a TopologyError', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.json(),
          fc.tuple(fc.nat(good.length), fc.string()).map(([at, s]) => good.slice(0, at) + s),
        ),
        (text) => {
          try {
            parseTopology(text, 'any.yaml')
          } catch (error) {
            expect(error).toBeInstanceOf(TopologyError)
          }
        },
      ),
    )
  })
})

describe('loading', () => {
  test('from a path', () => {
    const directory = mkdtempSync(join(tmpdir(), 'everyhop-topology-'))
    try {
      writeFileSync(join(directory, 'mine.yaml'), good)
      expect(loadTopology(join(directory, 'mine.yaml')).pods[0]).toEqual({
        name: 'a',
        namespace: 'demo',
        node: 'one',
        app: 'httpbin',
        labels: { app: 'a' },
        annotations: {},
      })
    } finally {
      rmSync(directory, { recursive: true })
    }
  })

  test('of a name that is not shipped lists those that are', () => {
    expect(() => loadTopology('three-nodes')).toThrow(/three-nodes: .*fix: use one of .*two-nodes/)
    expect(() => loadTopology('./no.yaml')).toThrow(/no\.yaml: .*fix: give the path/)
  })
})
