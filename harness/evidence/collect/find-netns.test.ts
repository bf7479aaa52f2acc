import { statSync } from 'node:fs'
import { expect, test } from 'vitest'
import { findNetns } from './find-netns.ts'
import { TestCgroup, TestNetns } from './testbed.ts'

test("a pod is found by the uid in its processes' cgroup, one that has no process is not", async () => {
  using netns = await TestNetns.create()
  using cgroup = new TestCgroup(netns.pid)
  const found = findNetns([cgroup.uid, '00000000-0000-4000-8000-000000000000'])
  expect([...found.keys()]).toEqual([cgroup.uid])
  expect(found.get(cgroup.uid)!.inode).toBe(statSync(netns.path).ino)
  expect(statSync(found.get(cgroup.uid)!.path).ino).toBe(statSync(netns.path).ino)
  netns[Symbol.dispose]()
})

test("the systemd driver's spelling is found too", async () => {
  using netns = await TestNetns.create()
  using cgroup = new TestCgroup(netns.pid, (uid) => `kubelet-kubepods-pod${uid.replaceAll('-', '_')}.slice`)
  expect(findNetns([cgroup.uid]).get(cgroup.uid)!.inode).toBe(statSync(netns.path).ino)
  netns[Symbol.dispose]()
})
