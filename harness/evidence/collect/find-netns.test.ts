import { closeSync, fstatSync, statSync } from 'node:fs'
import { expect, test } from 'vitest'
import { findNetns } from './find-netns.ts'
import { TestCgroup, TestNetns } from './testbed.ts'

test("a pod is found by the uid in its processes' cgroup, one that has no process is not", async () => {
  using netns = await TestNetns.create()
  using cgroup = new TestCgroup(netns.pid)
  const found = findNetns([cgroup.uid, '00000000-0000-4000-8000-000000000000'])
  expect([...found.keys()]).toEqual([cgroup.uid])
  expect(found.get(cgroup.uid)!.inode).toBe(statSync(netns.path).ino)
  const { fd } = found.get(cgroup.uid)!
  const { ino } = statSync(netns.path)
  netns[Symbol.dispose]()
  expect(fstatSync(fd).ino, 'still open after its processes are gone').toBe(ino)
  closeSync(fd)
})

test("the systemd driver's spelling is found too", async () => {
  using netns = await TestNetns.create()
  using cgroup = new TestCgroup(netns.pid, (uid) => `kubelet-kubepods-pod${uid.replaceAll('-', '_')}.slice`)
  const { fd, inode } = findNetns([cgroup.uid]).get(cgroup.uid)!
  closeSync(fd)
  expect(inode).toBe(statSync(netns.path).ino)
  netns[Symbol.dispose]()
})
