import { expect, test } from 'vitest'
import { containerScripts } from './container-script.ts'

test('a directory above the repository that keeps others out is an empty one in the container, below what is shared and as read-only as the rest', () => {
  const { root, enter } = containerScripts({
    id: 'c',
    cgroup: '/sys/fs/cgroup/c',
    volumes: [],
    shared: ['/root/everyhop'],
    closed: ['/root'],
    readOnlyRoot: true,
    workingDirectory: '/',
  })
  const mounts = root.split('\n').map((line) => line.split(' '))
  const at = (end: string) => mounts.findIndex(([, target]) => target?.endsWith(end))
  const empty = mounts[at('/root/root')]!
  expect(empty.slice(2)).toEqual(expect.arrayContaining(['tmpfs', 'mode=0755']))
  expect(at('/root/root')).toBeLessThan(at('/root/root/everyhop'))
  expect(enter).toContain('mount -o remount,bind,ro /root\n')
})
