import { describe, expect, test } from 'vitest'
import type { KubernetesObject } from '../kubernetes.ts'
import { loadTopology } from '../topology.ts'
import { appManifests } from './apps.ts'
import { meshManifests } from './mesh.ts'
import { takesIn } from './modes.ts'

// biome-ignore lint/suspicious/noExplicitAny: tests look into objects of any kind
type Any = any

const mesh = meshManifests({ release: 'today', mode: 'inpod' })
const find = (objects: readonly KubernetesObject[], kind: string, name: string): Any => {
  const found = objects.filter((o) => o.kind === kind && o.metadata.name === name)
  expect(found).toHaveLength(1)
  return found[0]
}
const podSpec = (name: string) => find(mesh, 'DaemonSet', name).spec.template.spec
const container = (name: string) => podSpec(name).containers[0]
/** Path in the container → where it comes from. */
const mounts = (name: string): Record<string, Any> =>
  Object.fromEntries(
    container(name).volumeMounts.map((m: Any) => [m.mountPath, { ...podSpec(name).volumes.find((v: Any) => v.name === m.name), mount: m }]),
  )
const environment = (name: string): Record<string, Any> =>
  Object.fromEntries(container(name).env.map((e: Any) => [e.name, e.value ?? e.valueFrom.fieldRef.fieldPath]))

describe('every manifest', () => {
  const all = [...mesh, ...appManifests(loadTopology('two-nodes'))]

  test('is plain data with a name, and comes after the namespace and the service account it needs', () => {
    const seen = new Set<string>()
    for (const object of all) {
      expect(JSON.parse(JSON.stringify(object))).toEqual(object)
      const { kind, metadata } = object
      const id = `${kind}/${metadata.namespace ?? ''}/${metadata.name}`
      expect(seen).not.toContain(id)
      if (metadata.namespace) expect(seen).toContain(`Namespace//${metadata.namespace}`)
      const spec = kind === 'Pod' ? (object as Any).spec : kind === 'DaemonSet' ? (object as Any).spec.template.spec : undefined
      if (spec) expect(seen).toContain(`ServiceAccount/${metadata.namespace}/${spec.serviceAccountName}`)
      seen.add(id)
    }
  })

  test.each(['istio-cni-node', 'ztunnel'])(
    '%s mounts only volumes it has, and selects its own pods, which stay out of the mesh',
    (name) => {
      for (const source of Object.values(mounts(name))) expect(source.name).toBe(source.mount.name)
      const { selector, template } = find(mesh, 'DaemonSet', name).spec
      expect(template.metadata.labels).toMatchObject({ ...selector.matchLabels, 'istio.io/dataplane-mode': 'none' })
    },
  )
})

test('no container of ours can write to its own root file system', () => {
  const containers = [...mesh, ...appManifests(loadTopology('two-nodes'))].flatMap((object: Any) =>
    object.kind === 'Pod' ? object.spec.containers : (object.spec?.template?.spec.containers ?? []),
  )
  expect(containers.length).toBeGreaterThan(3)
  for (const { name, securityContext } of containers) expect(securityContext?.readOnlyRootFilesystem, name).toBe(true)
})

describe('istio-cni-node', () => {
  test('sees the node through the paths that upstream uses', () => {
    const paths = Object.fromEntries(Object.entries(mounts('istio-cni-node')).map(([inside, source]) => [inside, source.hostPath.path]))
    expect(paths).toEqual({
      '/host/opt/cni/bin': '/opt/cni/bin',
      '/host/proc': '/proc',
      '/host/etc/cni/net.d': '/etc/cni/net.d',
      '/host/var/run/netns': '/var/run/netns',
      '/var/run/istio-cni': '/var/run/istio-cni',
      '/var/run/ztunnel': '/var/run/ztunnel',
    })
    expect(mounts('istio-cni-node')['/host/var/run/netns'].mount.mountPropagation).toBe('HostToContainer')
  })

  test("has upstream's capabilities, and no more", () => {
    const { capabilities, privileged } = container('istio-cni-node').securityContext
    expect(capabilities).toEqual({ drop: ['ALL'], add: ['NET_ADMIN', 'NET_RAW', 'SYS_PTRACE', 'SYS_ADMIN', 'DAC_OVERRIDE'] })
    expect(privileged).toBe(false)
  })

  test('may read pods and namespaces, patch pod status, and look at its own DaemonSet', () => {
    expect(find(mesh, 'ClusterRole', 'istio-cni').rules).toEqual([
      { apiGroups: [''], resources: ['pods', 'namespaces'], verbs: ['get', 'list', 'watch'] },
      { apiGroups: [''], resources: ['pods/status'], verbs: ['patch'] },
    ])
    expect(find(mesh, 'Role', 'istio-cni').rules).toEqual([
      { apiGroups: ['apps'], resources: ['daemonsets'], resourceNames: ['istio-cni-node'], verbs: ['get'] },
    ])
    for (const kind of ['ClusterRoleBinding', 'RoleBinding'])
      expect(find(mesh, kind, 'istio-cni').subjects).toEqual([{ kind: 'ServiceAccount', name: 'istio-cni', namespace: 'istio-system' }])
  })

  test('is asked for readiness on port 8000, and told node, DNS capture and which namespaces to leave alone', () => {
    expect(container('istio-cni-node').readinessProbe.httpGet).toEqual({ path: '/readyz', port: 8000 })
    expect(environment('istio-cni-node')).toMatchObject({
      NODE_NAME: 'spec.nodeName',
      AMBIENT_DNS_CAPTURE: 'true',
      EXCLUDE_NAMESPACES: 'kube-system',
    })
  })
})

describe('ztunnel', () => {
  test('runs as root with group 1337 and the two capabilities that it uses', () => {
    const { runAsUser, runAsGroup, capabilities } = container('ztunnel').securityContext
    expect([runAsUser, runAsGroup, capabilities.add]).toEqual([0, 1337, ['NET_ADMIN', 'SYS_ADMIN']])
  })

  test('is replaced without a gap', () => {
    expect(find(mesh, 'DaemonSet', 'ztunnel').spec.updateStrategy.rollingUpdate).toEqual({ maxSurge: 1, maxUnavailable: 0 })
    expect(podSpec('ztunnel').terminationGracePeriodSeconds).toBe(30)
    expect(environment('ztunnel').TERMINATION_GRACE_PERIOD_SECONDS).toBe('30')
  })

  test('asks the control plane for workloads and certificates, with root and token from volumes at the paths that its environment names', () => {
    const at = mounts('ztunnel')
    expect(at['/var/run/secrets/istio'].configMap).toEqual({ name: 'istio-ca-root-cert' })
    expect(at['/var/run/secrets/tokens'].projected.sources[0].serviceAccountToken.audience).toBe('istio-ca')
    expect(at['/var/run/ztunnel'].hostPath.path).toBe('/var/run/ztunnel')
    expect(environment('ztunnel')).toMatchObject({
      XDS_ADDRESS: 'https://istiod.istio-system.svc:15012',
      CA_ADDRESS: 'https://istiod.istio-system.svc:15012',
      XDS_ROOT_CA: '/var/run/secrets/istio/root-cert.pem',
      CA_ROOT_CA: '/var/run/secrets/istio/root-cert.pem',
    })
    expect(container('ztunnel').readinessProbe.httpGet).toEqual({ path: '/healthz/ready', port: 15021 })
  })

  test('serves DNS also where the agent captures it only for pods that ask for it', () => {
    const off = meshManifests({ release: 'today', mode: 'inpod', dnsCapture: false })
    const value = (daemonSet: string, name: string) =>
      find(off, 'DaemonSet', daemonSet).spec.template.spec.containers[0].env.find((e: Any) => e.name === name).value
    expect([value('ztunnel', 'ISTIO_META_DNS_CAPTURE'), value('istio-cni-node', 'AMBIENT_DNS_CAPTURE')]).toEqual(['true', 'false'])
  })
})

describe('mode iptables', () => {
  const made = (options: object = {}) => meshManifests({ release: '1.20', mode: 'iptables', ...options })
  const pod = (name: string, options?: object) => find(made(options), 'DaemonSet', name).spec.template
  const variables = (name: string, options?: object) =>
    Object.fromEntries(pod(name, options).spec.containers[0].env.map((e: Any) => [e.name, e.value]))

  test('the agent is told mode and release, may read its node, write settings of its network, and tell its plugin by a file', () => {
    expect(variables('istio-cni-node')).toMatchObject({
      AMBIENT_REDIRECT_MODE: 'iptables',
      MESH_RELEASE: '1.20',
      AMBIENT_CONFIG_DIR: '/etc/ambient-config',
    })
    const { containers, volumes } = pod('istio-cni-node').spec
    expect(containers[0].securityContext.privileged).toBe(true)
    expect(containers[0].volumeMounts).toContainEqual({ name: 'cni-ambient-config', mountPath: '/etc/ambient-config' })
    expect(volumes).toContainEqual({
      name: 'cni-ambient-config',
      hostPath: { path: '/etc/ambient-config', type: 'DirectoryOrCreate' },
    })
    expect(find(made(), 'ClusterRole', 'istio-cni').rules).toContainEqual({ apiGroups: [''], resources: ['nodes'], verbs: ['get'] })
  })

  test('another folder for that file is the same on the node and for the agent', () => {
    const options = { settings: { cni: { configDir: '/var/lib/mesh' } } }
    expect(variables('istio-cni-node', options).AMBIENT_CONFIG_DIR).toBe('/var/lib/mesh')
    expect(pod('istio-cni-node', options).spec.volumes).toContainEqual({
      name: 'cni-ambient-config',
      hostPath: { path: '/var/lib/mesh', type: 'DirectoryOrCreate' },
    })
  })

  test('no label of a pod decides: the agent is given no selectors, and its own pods are kept out by annotation', () => {
    expect(variables('istio-cni-node')).not.toHaveProperty('AMBIENT_ENABLEMENT_SELECTOR')
    const templates = [pod('istio-cni-node'), pod('ztunnel'), find(made(), 'Deployment', 'istiod').spec.template]
    for (const { metadata } of templates) expect(metadata.annotations).toMatchObject({ 'ambient.istio.io/redirection': 'disabled' })
  })

  test('ztunnel stays in its own namespace: no socket of the agent, no right to enter others', () => {
    const { containers, volumes } = pod('ztunnel').spec
    expect(containers[0].securityContext.capabilities).toEqual({ drop: ['ALL'], add: ['NET_ADMIN'] })
    expect(volumes.map((v: Any) => v.name)).toEqual(['istiod-ca-cert', 'istio-token', 'tmp'])
    expect(Object.keys(variables('ztunnel')).filter((name) => name.startsWith('INPOD'))).toEqual([])
  })

  test.each([
    [undefined, 'true'],
    [true, 'true'],
    [false, 'false'],
  ])('with DNS capture %s ztunnel says %s, which is what the agent goes by', (dnsCapture, said) =>
    expect(variables('ztunnel', dnsCapture === undefined ? {} : { dnsCapture }).ISTIO_META_DNS_CAPTURE).toBe(said),
  )

  test.each([
    ['ambient', {}, {}, true],
    ['ambient', { 'istio.io/dataplane-mode': 'none' }, {}, true],
    ['ambient', {}, { 'ambient.istio.io/redirection': 'disabled' }, false],
    [undefined, { 'istio.io/dataplane-mode': 'ambient' }, {}, false],
    [undefined, {}, { 'ambient.istio.io/redirection': 'enabled' }, false],
  ])('a namespace labelled %s, a pod with labels %j and annotations %j: taken in is %s', (label, labels, annotations, taken) =>
    expect(
      takesIn(
        { mode: 'iptables', release: '1.20' },
        { metadata: { name: 'p', labels, annotations } },
        label ? { 'istio.io/dataplane-mode': label } : {},
      ),
    ).toBe(taken),
  )
})

describe('istiod', () => {
  const spec = find(mesh, 'Deployment', 'istiod').spec.template.spec
  test('runs without rights on its node: no root, no capability, a root file system that it cannot write', () => {
    expect(spec.containers[0].securityContext).toEqual({
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      runAsNonRoot: true,
      runAsUser: 1337,
      runAsGroup: 1337,
      capabilities: { drop: ['ALL'] },
    })
    expect(spec.volumes).toBeUndefined()
  })

  test('is reached at the ports that upstream has', () => {
    expect(find(mesh, 'Service', 'istiod').spec.ports.map((p: Any) => [p.name, p.port])).toEqual([
      ['https-dns', 15012],
      ['http-monitoring', 15014],
    ])
    expect(spec.containers[0].readinessProbe.httpGet).toEqual({ path: '/ready', port: 8080 })
  })

  test("reads Secrets of a CA only, writes the root's ConfigMap only, and changes nothing else", () => {
    const rules = [...find(mesh, 'ClusterRole', 'istiod-istio-system').rules, ...find(mesh, 'Role', 'istiod').rules] as Any[]
    const writing = rules.filter((r) => r.verbs.some((v: string) => !['get', 'list', 'watch'].includes(v)))
    expect(writing.map((r) => [r.resources[0], r.resourceNames ?? [], r.verbs])).toEqual([
      ['tokenreviews', [], ['create']],
      ['configmaps', [], ['create']],
      ['configmaps', ['istio-ca-root-cert'], ['list', 'watch', 'patch']],
      ['secrets', [], ['create']],
      ['secrets', ['istio-ca-secret'], ['update']],
    ])
  })
})

describe('apps', () => {
  const topology = loadTopology('two-nodes')
  const apps = appManifests(topology)

  test("each pod is pinned to its node, with an identity of its own and a control socket's directory", () => {
    const pods = apps.filter((o) => o.kind === 'Pod') as Any[]
    expect(pods.map((p) => [p.metadata.name, p.spec.nodeName])).toEqual(topology.pods.map((p) => [p.name, p.node]))
    expect(new Set(pods.map((p) => `${p.metadata.namespace}/${p.spec.serviceAccountName}`)).size).toBe(pods.length)
    for (const pod of pods) {
      expect(pod.spec.volumes).toEqual([{ name: 'control', emptyDir: {} }])
      expect(pod.spec.containers[0].volumeMounts).toEqual([{ name: 'control', mountPath: '/var/run/everyhop' }])
    }
  })

  test('servers are probed over HTTP, clients are not', () => {
    expect(find(apps, 'Pod', 'httpbin-one-a').spec.containers[0].readinessProbe.httpGet).toEqual({ path: '/healthz', port: 8080 })
    expect(find(apps, 'Pod', 'sleep-one-a').spec.containers[0].readinessProbe).toBeUndefined()
  })

  test('pods that name one service account share it', () => {
    const pods = topology.pods.map((p) => ({ ...p, serviceAccount: 'shared' }))
    const accounts = appManifests({ ...topology, pods }).filter((o) => o.kind === 'ServiceAccount')
    expect(accounts.map((o) => `${o.metadata.namespace}/${o.metadata.name}`)).toEqual(['demo/shared', 'plain/shared'])
  })

  test('services: ClusterIP unless headless, 80 → 8080, 8081 and 9000 as they are', () => {
    expect(find(apps, 'Service', 'httpbin').spec).toEqual({
      selector: { role: 'httpbin' },
      ports: [
        { name: 'http', port: 80, targetPort: 8080, protocol: 'TCP' },
        { name: 'http2', port: 8081, targetPort: 8081, protocol: 'TCP' },
        { name: 'tcp', port: 9000, targetPort: 9000, protocol: 'TCP' },
      ],
    })
    expect(find(apps, 'Service', 'httpbin-headless').spec.clusterIP).toBe('None')
    expect(find(apps, 'Namespace', 'demo').metadata.labels).toEqual({ 'istio.io/dataplane-mode': 'ambient' })
  })
})
