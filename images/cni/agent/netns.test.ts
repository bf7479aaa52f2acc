import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type TestNamespace, testNamespace } from '../testing/namespace.ts'
import { closeNamespace, holdsAddress, NamespaceFinder, openNamespace, podUidOf } from './netns.ts'

const uid = '926824ad-5147-4a54-91e1-bc3fdfefb228'
const underscored = uid.replaceAll('-', '_')
const plain = uid.replaceAll('-', '')
const id = 'a'.repeat(64)

describe('the pod of a process, from its cgroups', () => {
  test.each([
    ['cgroup2, cgroupfs driver', `0::/kubepods/besteffort/pod${uid}/${id}\n`],
    [
      'cgroup2, systemd driver',
      `0::/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod${underscored}.slice/cri-containerd-${id}.scope\n`,
    ],
    ['kind', `0::/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort-pod${underscored}.slice/cri-containerd-${id}.scope\n`],
    ['cgroup v1, many lines', `12:pids:/kubepods/burstable/pod${uid}/${id}\n11:memory:/kubepods/burstable/pod${uid}/${id}\n0::/\n`],
    ['cgroup v1, only one controller has it', `3:cpu:/\n2:pids:/lab/kubepods/pod${uid}/${id}\n0::/\n`],
    ['static pod, nothing between the groups', `0::/kubepods/pod${plain}/${id}\n`],
    ['upper case', `0::/kubepods/pod${uid.toUpperCase()}/${id}\n`],
  ])('%s', (_, text) => {
    expect(podUidOf(text)).toBe(plain)
  })

  test.each([
    ['no pod', '0::/system.slice/sshd.service\n'],
    ['a container without pod', `0::/docker/${id}\n`],
    ['a number that is too long', `0::/kubepods/pod${uid}ff/${id}\n`],
    ['a word that ends in pod', `0::/tripod${uid}/x\n`],
    ['nothing', ''],
  ])('%s', (_, text) => {
    expect(podUidOf(text)).toBeUndefined()
  })
})

describe('with a /proc of our own', () => {
  let dir: string
  let node: TestNamespace
  let one: TestNamespace
  let two: TestNamespace
  beforeEach(async () => {
    dir = mkdtempSync(join(tmpdir(), 'everyhop-proc-'))
    ;[node, one, two] = await Promise.all([testNamespace(), testNamespace(), testNamespace()])
    processOf(1, node, '0::/init.scope', 1)
  })
  afterEach(async () => {
    await Promise.all([node.close(), one.close(), two.close()])
    rmSync(dir, { recursive: true })
  })

  function processOf(pid: number, ns: TestNamespace, cgroup: string, started: number): void {
    mkdirSync(join(dir, `${pid}/ns`), { recursive: true })
    symlinkSync(`/proc/${ns.pid}/ns/net`, join(dir, `${pid}/ns/net`))
    writeFileSync(join(dir, `${pid}/cgroup`), cgroup)
    writeFileSync(join(dir, `${pid}/stat`), `${pid} (odd) name)) S ${'0 '.repeat(18)}${started} 0 0\n`)
  }
  const inode = (ns: TestNamespace) => {
    const opened = openNamespace(`/proc/${ns.pid}/ns/net`, dir)
    closeNamespace(opened)
    return opened.ino
  }

  test("the oldest process' namespace is the pod's; processes in the node's own do not count; one walk serves all", async () => {
    processOf(50, node, `0::/kubepods/pod${uid}/${id}`, 5)
    processOf(60, two, `0::/kubepods/pod${uid}/${id}`, 200)
    processOf(70, one, `0::/kubepods/pod${uid}/${id}`, 100)
    processOf(80, two, `0::/kubepods/pod${uid.replace('9', '8')}/${id}`, 1)
    mkdirSync(join(dir, '90'))
    const finder = new NamespaceFinder(dir)
    const [found, other, none] = await Promise.all([finder.find(uid), finder.find(uid.replace('9', '8')), finder.find('no-such-pod')])
    expect(found?.ino).toBe(inode(one))
    expect(other?.ino).toBe(inode(two))
    expect(none).toBeUndefined()
    for (const ns of [found, other]) closeNamespace(ns!)
  })

  test("the node's own namespace is refused, and so is what is no namespace", () => {
    expect(() => openNamespace(`/proc/${node.pid}/ns/net`, dir)).toThrow(/refusing .*: it is the network namespace of the node itself/)
    writeFileSync(join(dir, 'cni-stale'), '')
    expect(() => openNamespace(join(dir, 'cni-stale'), dir)).toThrow(/cni-stale is no network namespace/)
    expect(() => openNamespace(join(dir, 'cni-none'), dir)).toThrow(/cni-none cannot be opened: ENOENT/)
  })

  test('an address is looked for inside', async () => {
    await one.run('ip', 'addr', 'add', '10.244.1.5/32', 'dev', 'lo')
    const opened = openNamespace(`/proc/${one.pid}/ns/net`, dir)
    expect(holdsAddress(opened, ['10.244.1.9', '10.244.1.5'])).toBe(true)
    expect(holdsAddress(opened, ['10.244.1.9'])).toBe(false)
    closeNamespace(opened)
  })
})
