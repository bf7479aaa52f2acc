import { describe, expect, test } from 'vitest'
import type { KubernetesObject } from '../../kubernetes.ts'
import { meshManifests } from '../mesh.ts'
import { loadValues, parseValues, ValuesError } from './read.ts'

const read = (text: string) => parseValues(text, 'my.yaml')
const values = (text: string) => read(text).values
const refused = (text: string): string => {
  try {
    read(text)
  } catch (error) {
    expect(error).toBeInstanceOf(ValuesError)
    return (error as Error).message
  }
  throw new Error('it was taken')
}
// biome-ignore lint/suspicious/noExplicitAny: tests look into objects of any kind
type Any = any
const made = (text: string, kind: string, name: string): Any =>
  meshManifests({ ...values(text), mode: 'inpod', release: 'today' }).find(
    (o: KubernetesObject) => o.kind === kind && o.metadata.name === name,
  )
const container = (text: string, kind: string, name: string) => made(text, kind, name).spec.template.spec.containers[0]
const variable = (text: string, kind: string, name: string, wanted: string) =>
  container(text, kind, name)
    .env.filter((e: Any) => e.name === wanted)
    .map((e: Any) => e.value)

describe('the same settings in each of the forms that people have', () => {
  const inner = 'cni: { ambient: { dnsCapture: false, ipv6: false } }'
  test.each([
    ['Helm values', inner],
    [
      'the spec of an IstioOperator',
      `profile: ambient\ncomponents: { cni: { enabled: true }, ztunnel: { enabled: true } }\nvalues: { ${inner} }`,
    ],
    [
      'an IstioOperator',
      `apiVersion: install.istio.io/v1alpha1\nkind: IstioOperator\nmetadata: { name: mine }\nspec: { profile: ambient, values: { ${inner} } }`,
    ],
  ])('%s', (_, text) => expect(read(text)).toEqual({ values: { dnsCapture: false, ipv6: false }, notes: [] }))

  test('an empty file says nothing', () => expect(read('# nothing\n')).toEqual({ values: {}, notes: [] }))
  test('what upstream writes as empty says nothing', () =>
    expect(values('global: { hub: "", imagePullSecrets: [] }\ncni: { affinity: {}, resources: }')).toEqual({}))
})

describe('a name that is not known is told with its place and the nearest known one', () => {
  test.each([
    ['values: { cni: { ambient: { dnsCaptur: true } } }', 'values.cni.ambient.dnsCaptur', 'values.cni.ambient.dnsCapture'],
    ['ambient: { dnsCapture: true }', 'ambient', 'cni.ambient'],
    ['spec: {}\nkind: IstioOperator\nvalues: {}', 'values', 'values'],
    ['kind: IstioOperator\nspec: { component: { cni: { enabled: true } } }', 'spec.component', 'spec.components'],
    ['values: { cni: { Privileged: false } }', 'values.cni.Privileged', 'values.cni.privileged'],
  ])('%s', (text, path, near) => expect(refused(text)).toBe(`my.yaml: ${path} is not known; fix: did you mean ${near}?`))

  test('one that is like no other is to be taken out', () =>
    expect(refused('values: { global: { quux: 1 } }')).toBe('my.yaml: values.global.quux is not known; fix: take it out'))
  test('names that every object has are not known either', () => expect(refused('constructor: 1')).toMatch(/constructor is not known/))
})

describe('a value that is not right is told with its place', () => {
  test.each([
    ['cni: { ambient: { dnsCapture: "yes" } }', 'cni.ambient.dnsCapture is "yes"; fix: true or false'],
    ['cni: true', 'cni is true; fix: a map with hub, tag, image, variant …'],
    ['cni: { excludeNamespaces: kube-system }', 'cni.excludeNamespaces is "kube-system"; fix: a list of texts'],
    ['ztunnel: { terminationGracePeriodSeconds: 0 }', 'ztunnel.terminationGracePeriodSeconds is 0; fix: a whole number above 0'],
    ['cni: { resources: { cpu: 1 } }', 'cni.resources is {"cpu":1}; fix: a map with requests and limits, each of names to quantities'],
    ['profile: demo', 'profile: "demo" is not supported: only the ambient data plane is made; fix: "ambient", or take it out'],
    [
      'components: { cni: { enabled: false } }',
      'components.cni.enabled: false is not supported: ambient needs the agent; fix: true, or take it out',
    ],
    [
      'global: { nativeNftables: true }',
      'global.nativeNftables: true is not supported: rules are made with iptables; fix: false, or take it out',
    ],
    ['cni: { ambient: { redirectMode: nft } }', 'values.cni.ambient.redirectMode: "nft" is not known; fix: one of inpod, iptables, ebpf'],
  ])('%s', (text, said) => expect(refused(text)).toBe(`my.yaml: ${said}`))

  test('all of them at once', () => expect(refused('a1: 1\nprofile: demo\ncni: { chained: false }').split('\n')).toHaveLength(3))
  test('broken YAML, several documents, a list', () => {
    expect(refused('cni: {')).toMatch(/^my\.yaml: .* at line 1.*; fix: correct the YAML$/)
    expect(refused('cni: {}\n---\ncni: {}')).toBe('my.yaml: it holds 2 documents; fix: one')
    expect(refused('- cni')).toMatch(/it holds no map/)
    expect(refused('kind: Pod')).toBe('my.yaml: kind: Pod is no IstioOperator; fix: give one, or Helm values')
  })
  test('a file that is not there', () =>
    expect(() => loadValues('/none.yaml')).toThrow(/^\/none\.yaml: it cannot be read: .*; fix: give the path/))
})

test('what is about something that is not made is told, and does no harm', () =>
  expect(read('global: { proxy: { image: proxyv2 } }')).toEqual({
    values: {},
    notes: ['global.proxy has no effect: sidecars are not made'],
  }))

describe('in the manifests', () => {
  test('images: hub and tag of all, of one, a name, and a whole reference', () => {
    const text =
      'global: { hub: registry.local/mesh, tag: v1 }\nztunnel: { tag: v2, image: proxy }\npilot: { image: "other.io:5000/istiod:v3" }'
    expect(container(text, 'DaemonSet', 'istio-cni-node').image).toBe('registry.local/mesh/cni:v1')
    expect(container(text, 'DaemonSet', 'ztunnel').image).toBe('registry.local/mesh/proxy:v2')
    expect(container(text, 'Deployment', 'istiod').image).toBe('other.io:5000/istiod:v3')
    expect(container('cni: { image: "other.io:5000/agent" }', 'DaemonSet', 'istio-cni-node').image).toBe('other.io:5000/agent:dev')
  })

  test('pull policy and secrets', () => {
    const text = 'global: { imagePullPolicy: Always, imagePullSecrets: [mine] }\ncni: { pullPolicy: Never }'
    expect(container(text, 'DaemonSet', 'istio-cni-node').imagePullPolicy).toBe('Never')
    expect(container(text, 'DaemonSet', 'ztunnel').imagePullPolicy).toBe('Always')
    expect(made(text, 'ServiceAccount', 'ztunnel').imagePullSecrets).toEqual([{ name: 'mine' }])
  })

  test('environment: another value instead of the own one, once', () => {
    const text = 'cni: { env: { AMBIENT_IPV6: false, MORE: 1 } }'
    expect(variable(text, 'DaemonSet', 'istio-cni-node', 'AMBIENT_IPV6')).toEqual(['false'])
    expect(variable(text, 'DaemonSet', 'istio-cni-node', 'MORE')).toEqual(['1'])
  })

  test('the paths on the node', () => {
    const text =
      'cni: { cniBinDir: /home/kubernetes/bin, cniConfDir: /etc/other, cniNetnsDir: /var/run/docker/netns, cniConfFileName: 10-calico.conflist }'
    const volumes = made(text, 'DaemonSet', 'istio-cni-node').spec.template.spec.volumes.map((v: Any) => v.hostPath.path)
    expect(volumes).toEqual(expect.arrayContaining(['/home/kubernetes/bin', '/etc/other', '/var/run/docker/netns']))
    expect(variable(text, 'DaemonSet', 'istio-cni-node', 'CNI_CONF_NAME')).toEqual(['10-calico.conflist'])
  })

  test('a log level by scope reaches the components that it names, and the default the others', () => {
    const text = 'global: { logging: { level: "default:warn,cni:debug" } }'
    expect(variable(text, 'DaemonSet', 'istio-cni-node', 'LOG_LEVEL')).toEqual(['debug'])
    expect(variable(text, 'DaemonSet', 'ztunnel', 'RUST_LOG')).toEqual(['warn'])
    expect(variable(text, 'Deployment', 'istiod', 'LOG_LEVEL')).toEqual(['warn'])
  })

  test('resources, placement, annotations; labels that select the pods stay', () => {
    const text =
      'ztunnel: { resources: { requests: { cpu: 10m } }, podLabels: { app: no, mine: 1 }, podAnnotations: { a: b }, nodeSelector: { disk: ssd } }'
    const { metadata, spec } = made(text, 'DaemonSet', 'ztunnel').spec.template
    expect(spec.containers[0].resources).toEqual({ requests: { cpu: '10m' } })
    expect(metadata.labels).toMatchObject({ app: 'ztunnel', mine: '1' })
    expect(metadata.annotations).toMatchObject({ a: 'b', 'prometheus.io/port': '15020' })
    expect(spec.nodeSelector).toEqual({ 'kubernetes.io/os': 'linux', disk: 'ssd' })
  })

  test('cluster, network, grace period and namespaces to leave alone', () => {
    const text =
      'global: { multiCluster: { clusterName: c1 }, network: n1 }\nztunnel: { terminationGracePeriodSeconds: 7 }\ncni: { excludeNamespaces: [a, b] }'
    expect(variable(text, 'Deployment', 'istiod', 'CLUSTER_ID')).toEqual(['c1'])
    expect(variable(text, 'DaemonSet', 'ztunnel', 'ISTIO_META_CLUSTER_ID')).toEqual(['c1'])
    for (const [kind, name] of [
      ['Deployment', 'istiod'],
      ['DaemonSet', 'ztunnel'],
    ] as const)
      expect(variable(text, kind, name, 'NETWORK')).toEqual(['n1'])
    expect(made(text, 'DaemonSet', 'ztunnel').spec.template.spec.terminationGracePeriodSeconds).toBe(7)
    expect(variable(text, 'DaemonSet', 'ztunnel', 'TERMINATION_GRACE_PERIOD_SECONDS')).toEqual(['7'])
    expect(variable(text, 'DaemonSet', 'istio-cni-node', 'EXCLUDE_NAMESPACES')).toEqual(['a,b'])
  })

  test('without a values file nothing of it is there', () =>
    expect(meshManifests({ mode: 'inpod', release: 'today', settings: {} })).toEqual(meshManifests({ mode: 'inpod', release: 'today' })))
})
