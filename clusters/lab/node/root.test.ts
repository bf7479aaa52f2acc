import { expect, test } from 'vitest'
import { closedDirectories, closedToOthers, pinnedNode, repository } from './root.ts'

const modes = (closed: Record<string, number>) => (path: string) => closed[path] ?? 0o40755

test.for<[what: string, paths: string[], closed: Record<string, number>, expected: string[]]>([
  ['everybody may come to a checkout', ['/srv/everyhop'], {}, []],
  ["it is in root's home directory", ['/root/everyhop'], { '/root': 0o40700 }, ['/root']],
  ['the group may enter, others may not', ['/home/ada/src/everyhop'], { '/home/ada': 0o40750 }, ['/home/ada']],
  ['a closed directory is in a closed one', ['/home/ada/src/everyhop'], { '/home/ada': 0o40700, '/home/ada/src': 0o40700 }, ['/home/ada']],
  ['two are below the same', ['/root/everyhop', '/root/node/bin'], { '/root': 0o40700 }, ['/root']],
  ['the checkout itself is closed, which is not above it', ['/srv/everyhop'], { '/srv/everyhop': 0o40700 }, []],
])('directories that keep others out: %s', ([, paths, closed, expected]) => {
  expect(closedDirectories(paths, modes(closed))).toEqual(expected)
})

test('a checkout that only its owner may read is told by its first such part', () => {
  expect(closedToOthers(() => 0o100644)).toBeUndefined()
  expect(closedToOthers(() => 0o100600)).toBe(repository)
  expect(closedToOthers(modes({ [pinnedNode]: 0o100700 }))).toBe(pinnedNode)
})
