import { execFile } from 'node:child_process'
import { chmodSync, cpSync, mkdirSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import type { MainJob } from './command.ts'
import { cli, root } from './stand-in-host.ts'

/** The project mounted at another place, where any user can read it: a checkout in root's home is not for them. */
const asNobody = `
mount --bind "$1" "$2"
cd "$2"
exec setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps=-all --bounding-set=-all --no-new-privs env -i "$2/$3" --disable-warning=ExperimentalWarning --v8-pool-size=0 harness/cli/main.ts judge "$4" --json
`

export function judgedAgainClaims(job: () => MainJob, scratch: string): void {
  test('by a user without rights, from a copy: the same bytes, and so again', async () => {
    const copy = join(scratch, 'copy')
    const code = join(scratch, 'code')
    mkdirSync(code)
    chmodSync(scratch, 0o755)
    cpSync(job().folder, copy, { recursive: true })
    await promisify(execFile)('chmod', ['-R', 'a+rX', copy])
    const judge = () =>
      promisify(execFile)(
        'unshare',
        ['--mount', '--propagation', 'private', 'sh', '-ec', asNobody, 'sh', root, code, relative(root, process.execPath), copy],
        { maxBuffer: 1 << 26 },
      )
    const [first, second] = await Promise.all([judge(), judge()])
    expect(first.stderr).toBe('')
    expect(first.stdout).toBe(readFileSync(join(job().folder, 'results.json'), 'utf8'))
    expect(second.stdout).toBe(first.stdout)
  })

  test('as text: the same verdicts, and each hop by name', async () => {
    const { stdout } = await promisify(execFile)(process.execPath, [...cli, 'judge', job().folder], { maxBuffer: 1 << 26 })
    const results = JSON.parse(job().stdout) as { cases: { id: string; legs: { hops: { title: string }[] }[] }[] }
    for (const c of results.cases) {
      expect(stdout).toContain(`✓ ${c.id}  `)
      for (const hop of c.legs.flatMap((l) => l.hops)) expect(stdout).toContain(`✓ ${hop.title}`)
    }
    expect(stdout).toMatch(new RegExp(`^${results.cases.length} pass of ${results.cases.length} cases`, 'm'))
  })
}
