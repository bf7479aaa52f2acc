import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { expect, test } from 'vitest'
import { killAll } from './processes.ts'

test('kills a process that one look does not show', async () => {
  const child = spawn('sleep', ['1000'], { stdio: 'ignore' })
  await once(child, 'spawn')
  const ended = once(child, 'exit')
  const looks = [[], [child.pid as number]]
  expect(await killAll(() => looks.shift() ?? [])).toEqual([child.pid])
  expect(await ended).toEqual([null, 'SIGKILL'])
})

test('gives up on what does not die, and names it', async () => {
  // No process has this pid (proc(5): at most 2^22), so no kill ever takes it off the list.
  await expect(killAll(() => [4_194_305], 20)).rejects.toThrow('processes 4194305 do not die of SIGKILL')
})
