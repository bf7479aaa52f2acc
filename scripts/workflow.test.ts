import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { execa } from 'execa'
import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { completeMeshes } from '../harness/modes/index.ts'

const root = join(import.meta.dirname, '..')

interface Step {
  readonly run?: string
  readonly uses?: string
  readonly if?: string
  readonly with?: { readonly path?: string; readonly 'if-no-files-found'?: string }
}
interface Job {
  readonly 'timeout-minutes'?: number
  readonly strategy?: { readonly matrix: { readonly include: readonly Readonly<Record<string, string>>[] } }
  readonly steps: readonly Step[]
}
const { jobs } = parse(readFileSync(join(root, '.github/workflows/everyhop.yml'), 'utf8')) as { jobs: Record<string, Job> }

test('every job is bounded in time, and every action has a version', () => {
  for (const [name, job] of Object.entries(jobs)) {
    expect(job['timeout-minutes'], name).toBeGreaterThan(0)
    for (const { uses } of job.steps) if (uses) expect(uses).toMatch(/^actions\/[a-z-]+@v\d+$/)
  }
})

test("lint runs what a change must pass, as the repository's own script", () =>
  expect(jobs.lint?.steps.map((s) => s.run)).toContain('npm run check'))

describe.each(['lab', 'kind'])('the lane of %s', (provider) => {
  const { strategy, steps } = jobs[provider]!
  const cells = strategy!.matrix.include

  test('runs each mode that is complete, in each of its releases', () => expect(cells).toEqual(completeMeshes))

  test('its commands are ones that everyhop takes', { timeout: 60_000 }, async () => {
    const command = steps.map((s) => s.run ?? '').find((run) => run.includes('npm start')) ?? ''
    expect(command).toContain('--preserve-env=GITHUB_ACTIONS,GITHUB_STEP_SUMMARY')
    for (const cell of cells) {
      const words = command.replaceAll(/\$\{\{ matrix\.(\w+) \}\}/g, (_, key: string) => cell[key] ?? '').split('npm start -- ')[1]!
      const args = ['--v8-pool-size=0', join(root, 'harness/cli/main.ts'), 'run', ...words.trim().split(/\s+/), '--list']
      const { stdout } = await execa(process.execPath, args, { cwd: root })
      expect(stdout.split('\n').length).toBeGreaterThan(20)
    }
  })

  test('leaves the folder of the run, whatever became of it', () => {
    const upload = steps.find((s) => s.uses?.startsWith('actions/upload-artifact'))
    expect(upload).toMatchObject({ if: 'always()', with: { path: 'out/run', 'if-no-files-found': 'error' } })
  })
})
