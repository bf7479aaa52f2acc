import { readdirSync, readFileSync } from 'node:fs'
import { basename, dirname } from 'node:path'
import type { V1Volume } from '@kubernetes/client-node'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { LabNode } from '../node/node.ts'
import { pinnedNode, repository } from '../node/root.ts'
import { startTestLab, type TestLab } from '../node/testing.ts'
import { type Kubelet, startKubelet } from './kubelet.ts'
import type { Container, Pod } from './pod.ts'
import { FakeApi, testImages, testPod } from './testing.ts'

let lab: TestLab
let node: LabNode
let api: FakeApi
let kubelet: Kubelet

beforeAll(async () => {
  lab = await startTestLab(['one'])
  node = lab.nodes[0] as LabNode
  api = new FakeApi()
  kubelet = await startKubelet({ node, api, registry: lab.registry, images: testImages })
})
afterAll(async () => {
  await kubelet.stop()
  await lab.teardown()
})

let serial = 0
/** Runs a script as a pod's only container to its end. @returns what it wrote to stdout */
async function run(
  script: string,
  container: Partial<Container> = {},
  spec: Partial<Pod['spec']> = {},
  metadata: Partial<Pod['metadata']> = {},
) {
  const name = `run-${++serial}`
  const pod = testPod({ name, node, metadata })
  const main = { name: 'main', image: 'test/sh', args: [script], ...container }
  api.set({ ...pod, spec: { ...pod.spec, restartPolicy: 'Never', containers: [main], ...spec } })
  await api.until(`${name} is done`, () => /Succeeded|Failed/.test(api.get(name).status?.phase ?? ''))
  const lines = readFileSync(node.hostPath(`/var/log/pods/demo_${name}_${pod.metadata.uid}/main/0.log`), 'utf8').split('\n')
  const text = lines
    .filter((line) => line.split(' ')[1] === 'stdout')
    .map((line) => line.split(' ').slice(3).join(' '))
    .join('\n')
  const exitCode = api.get(name).status?.containerStatuses?.[0]?.state.terminated?.exitCode
  api.delete(name)
  await api.gone(name)
  return { text, exitCode, all: lines.join('\n') }
}
const mount = (name: string, mountPath: string, more = {}) => ({ name, mountPath, ...more })

test('a container has its own processes, files, host name and resolver', async () => {
  const { text } = await run(
    'cut -d" " -f4 /proc/self/stat; ls /proc | grep -c "^[0-9]"; hostname; cat /etc/resolv.conf /etc/hosts; touch /etc/x /run/x /tmp/x && ls /run /tmp; ls /sys/class/net',
    {},
    { hostname: 'named' },
  )
  const lines = text.split('\n')
  expect(lines[0]).toBe('1')
  expect(Number(lines[1])).toBeLessThan(5)
  expect(lines[2]).toBe('named')
  expect(text).toContain('search demo.svc.cluster.local svc.cluster.local cluster.local\nnameserver 10.96.0.10\noptions ndots:5')
  expect(text).toMatch(/^10\.244\.1\.\d+\tnamed$/m)
  // Of the machine's /tmp at most the way to the repository, where that lies there.
  const [, checkout = ''] = /^\/tmp\/([^/]+)/.exec(import.meta.dirname) ?? []
  expect(text).toMatch(/\/run:\n(mount\n)?secrets\nx\n\n\/tmp:\n/)
  expect(/\/tmp:\n([^/]*?)\neth0/.exec(text)?.[1]?.split('\n')).toEqual([checkout, 'x'].filter((x) => x !== '').sort())
  expect(text).toMatch(/eth0\nlo/)
  await expect(node.run(['ls', '/etc/x'])).rejects.toThrow(/No such file/)
})

test('the repository and the pinned Node are there at their own paths, and cannot be written', async () => {
  const { text } = await run(`head -c 1 ${repository}/package.json; touch ${repository}/x 2>&1`)
  expect(text).toMatch(/^\{/)
  expect(text).toContain('Read-only file system')
})

test('command and args stand for the image’s as in Kubernetes, with $(NAME) expanded; the working directory is the container’s', async () => {
  const env = [{ name: 'WORD', value: 'said' }]
  const { text } = await run('', { command: ['sh', '-c', 'echo "$0 $1 $(WORD)"; pwd'], args: ['zero', '$(WORD)'], env, workingDir: '/usr' })
  expect(text).toBe('zero said said\n/usr')
  expect(await run('exit 7')).toMatchObject({ exitCode: 7 })
  expect(await run('', { command: ['/nowhere'] })).toMatchObject({ exitCode: 127, all: expect.stringContaining('/nowhere') })
})

test.each([
  ['ordinary', {}, 'a80425fb', '0 0'],
  ['few', { capabilities: { drop: ['ALL'], add: ['NET_ADMIN', 'SYS_ADMIN'] } }, '201000', '0 0'],
  ['one less', { capabilities: { drop: ['KILL'] } }, 'a80425db', '0 0'],
  ['a user', { runAsUser: 1000, runAsGroup: 1337 }, '0', '1000 1337'],
  ['a group only', { runAsUser: 0, runAsGroup: 1337, capabilities: { drop: ['ALL'], add: ['NET_RAW'] } }, '2000', '0 1337'],
])('rights: %s', async (_, securityContext, effective, ids) => {
  const { text } = await run('sed -n "s/^CapEff:\\s*0*\\(.\\)/\\1/p" /proc/self/status; echo $(id -u) $(id -g)', { securityContext })
  expect(text.split('\n')).toEqual([effective, ids])
})

test('privileged has all that the node has, allowPrivilegeEscalation: false sets no_new_privs', async () => {
  const caps = await node.run(['sh', '-c', 'grep CapEff /proc/self/status'])
  expect(`${(await run('grep CapEff /proc/self/status', { securityContext: { privileged: true } })).text}\n`).toBe(caps)
  expect((await run('grep NoNewPrivs /proc/self/status', { securityContext: { allowPrivilegeEscalation: false } })).text).toMatch(/1$/)
})

test('readOnlyRootFilesystem leaves only the volumes to write to', async () => {
  const { text } = await run(
    'for d in /etc /run /root / /tmp /data; do touch $d/x 2>/dev/null && echo $d; done',
    { securityContext: { readOnlyRootFilesystem: true }, volumeMounts: [mount('tmp', '/tmp'), mount('data', '/data')] },
    {
      volumes: [
        { name: 'tmp', emptyDir: {} },
        { name: 'data', emptyDir: {} },
      ],
    },
  )
  expect(text.split('\n')).toEqual(['/tmp', '/data'])
})

test('a volume above the repository, such as one at /tmp for a checkout there, does not hide it', async () => {
  const above = dirname(repository)
  const { text } = await run(
    `test -x ${pinnedNode} && echo there; touch ${above}/x && ls ${above}; touch ${repository}/x || echo read-only`,
    { volumeMounts: [mount('above', above)] },
    { volumes: [{ name: 'above', emptyDir: {} }] },
  )
  expect(text.split('\n')).toEqual(['there', ...[basename(repository), 'x'].sort(), 'read-only'])
})

test('a pod on the host network is in the node’s namespaces and asks no plugin', async () => {
  const own = (await node.run(['readlink', '/proc/1/ns/net'])).trim()
  const { text } = await run('readlink /proc/self/ns/net; hostname; cat /etc/resolv.conf', {}, { hostNetwork: true })
  expect(text.split('\n').slice(0, 2)).toEqual([own, 'one'])
  expect(text).not.toContain('search')
})

test('hostPath volumes: types, read-only, sockets, and what is missing', async () => {
  await node.run(['sh', '-c', 'mkdir -p /srv/there && echo hello > /srv/there/file'])
  const volumes: V1Volume[] = [
    { name: 'dir', hostPath: { path: '/srv/there', type: 'Directory' } },
    { name: 'new', hostPath: { path: '/var/run/fresh/deep', type: 'DirectoryOrCreate' } },
    { name: 'file', hostPath: { path: '/srv/there/file', type: 'File' } },
    { name: 'proc', hostPath: { path: '/proc', type: 'Directory' } },
  ]
  const volumeMounts = [
    mount('dir', '/host/dir', { readOnly: true }),
    mount('new', '/var/run/new'),
    mount('file', '/etc/one'),
    mount('proc', '/host/proc'),
  ]
  const { text } = await run(
    'cat /host/dir/file /etc/one; touch /host/dir/x 2>&1; echo out > /run/new/out; cat /host/proc/1/comm',
    { volumeMounts },
    { volumes },
  )
  expect(text).toMatch(/^hello\nhello\n.*Read-only file system\ntini$/)
  expect(readFileSync(node.hostPath('/run/fresh/deep/out'), 'utf8')).toBe('out\n')
  const bad = testPod({ name: 'bad', node, spec: { volumes: [{ name: 'x', hostPath: { path: '/srv/none', type: 'Socket' } }] } })
  api.set(bad)
  await api.until('the mount failed', () =>
    api.events.some((e) => /volume "x": hostPath type check failed: \/srv\/none is not a Socket/.test(String(e.message))),
  )
  const { spec } = testPod({
    name: 'bad',
    node,
    spec: { volumes: [{ name: 'y', hostPath: { path: '/proc/none/x', type: 'DirectoryOrCreate' } }] },
  })
  api.set({ ...testPod({ name: 'worse', node }), spec })
  await api.until('the mount failed', () => api.events.some((e) => /volume "y": ENOENT.*\/proc\/none/.test(String(e.message))))
  for (const name of ['bad', 'worse']) api.delete(name)
  await Promise.all([api.gone('bad'), api.gone('worse')])
})

test('a container that cannot be made says why, is tried again, and can be deleted', async () => {
  api.set(testPod({ name: 'unmade', node, container: { workingDir: '/no/where' } }))
  const waiting = () => api.get('unmade').status?.containerStatuses?.[0]?.state.waiting
  await api.until('it is said', () => waiting()?.reason === 'RunContainerError')
  expect(waiting()?.message).toMatch(/^container main could not be started: .*cd.*\/no\/where/)
  expect(api.get('unmade').status).toMatchObject({ phase: 'Pending', containerStatuses: [{ restartCount: 0 }] })
  api.set(testPod({ name: 'root', node, spec: { securityContext: { runAsNonRoot: true } } }))
  await api.until('it is refused', () => /runAsNonRoot/.test(api.get('root').status?.containerStatuses?.[0]?.state.waiting?.message ?? ''))
  for (const name of ['unmade', 'root']) api.delete(name)
  await Promise.all([api.gone('unmade'), api.gone('root')])
  expect(readdirSync(node.hostPath('/run/everyhop/stage'))).toEqual([])
})

test('long lines are cut into parts, the last without an end is marked', async () => {
  const { all } = await run("head -c 20000 /dev/zero | tr '\\0' x; echo; printf end")
  const lines = all
    .trim()
    .split('\n')
    .map((line) => line.split(' ').slice(1))
  expect(lines.map(([stream, tag, text]) => [stream, tag, text?.length])).toEqual([
    ['stdout', 'P', 16384],
    ['stdout', 'F', 20000 - 16384],
    ['stdout', 'P', 3],
  ])
})

test('mounts reach a container that asked for them, leave one that may send them, and stay away from others', async () => {
  await node.run(['mkdir', '-p', '/srv/shared'])
  const volumes = [{ name: 'shared', hostPath: { path: '/srv/shared' } }]
  const pod = (name: string, mountPropagation: string | undefined, script: string) => {
    const main = {
      name: 'main',
      image: 'test/sh',
      securityContext: { privileged: true },
      args: [`${script}; trap 'exit 0' TERM; sleep 1000 & wait`],
    }
    const wish = testPod({ name, node })
    const volumeMounts = [mount('shared', '/shared', mountPropagation ? { mountPropagation } : {})]
    api.set({
      ...wish,
      spec: {
        ...wish.spec,
        volumes,
        containers: [{ ...main, volumeMounts, readinessProbe: { exec: { command: ['test', '-d', '/shared'] } } }],
      },
    })
    return api.ready(name)
  }
  await pod('receiver', 'HostToContainer', ':')
  await pod('stranger', undefined, ':')
  await pod('sender', 'Bidirectional', 'mkdir /shared/sent && mount -t tmpfs from-sender /shared/sent')
  await node.run(['sh', '-c', 'mkdir /srv/shared/late && mount -t tmpfs from-node /srv/shared/late'])
  const mountsOf = async (name: string) => {
    const lines = await node.run([
      'sh',
      '-c',
      `for p in /proc/[0-9]*; do grep -q pod${api.get(name).metadata.uid} $p/cgroup && cat $p/mounts; done 2>/dev/null; true`,
    ])
    // The pause process and the waiting one see the node's mounts: what counts is the container's own root.
    return [...new Set(lines.split('\n').filter((line) => / \/shared\//.test(line)))].sort()
  }
  await expect
    .poll(() => mountsOf('receiver'))
    .toEqual([expect.stringMatching(/^from-node \/shared\/late/), expect.stringMatching(/^from-sender \/shared\/sent/)])
  expect(await mountsOf('stranger')).toEqual([])
  expect(await node.run(['cat', '/proc/mounts'])).toContain('from-sender /srv/shared/sent')
  for (const name of ['receiver', 'stranger', 'sender']) api.delete(name)
  await Promise.all(['receiver', 'stranger', 'sender'].map((name) => api.gone(name)))
  // The ending of containers takes nothing of the node's away.
  expect(await node.run(['cat', '/proc/mounts'])).toContain('from-node /srv/shared/late')
  expect(readdirSync(node.hostPath('/run/everyhop/stage'))).toEqual([])
})
