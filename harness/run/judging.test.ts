import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished, test } from 'vitest'
import { askVerdicts, JudgeDesk } from './judging.ts'

test('a bundle that cannot be judged is told to the suite that asked, with the reason', async ({ expect }) => {
  const directory = mkdtempSync(join(tmpdir(), 'judging-'))
  onTestFinished(() => rmSync(directory, { recursive: true }))
  using desk = new JudgeDesk('a-run')
  await expect(askVerdicts('a-run', directory)).rejects.toThrow(directory)
  expect(desk.judgements.size).toBe(0)
})
