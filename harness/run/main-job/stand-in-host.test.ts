import { execFileSync } from 'node:child_process'
import { expect, test } from 'vitest'
import { StandInHost } from './stand-in-host.ts'

test.skipIf(process.getuid?.() !== 0)(
  'namespaces with names that come and go on the host meanwhile are nothing that was left (needs root)',
  async () => {
    const name = `standin${process.pid}`
    const ip = (command: 'add' | 'del', which: string) => execFileSync('ip', ['netns', command, name + which])
    ip('add', 'before')
    await using host = await new StandInHost().start()
    const before = await host.snapshot()
    ip('del', 'before')
    ip('add', 'after')
    const left = await host.left(before)
    ip('del', 'after')
    expect(left).toEqual([])
  },
)
