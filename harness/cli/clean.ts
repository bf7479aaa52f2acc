import { removeCache } from '../../clusters/kind/cache.ts'
import { type CleanReport, clean as cleanDeadRuns } from '../../clusters/registry.ts'
import { listStanding } from '../../clusters/standing.ts'

export interface CleanOptions {
  /** Only these owners; @default all */
  readonly ids?: readonly string[]
  /** Print the report as JSON. @default false */
  readonly json?: boolean
  /** Also what was built to be used again. @default false */
  readonly cache?: boolean
  /** Where to print. @default standard output */
  readonly print?: (text: string) => void
}

/**
 * Removes what killed runs left on this host, and only that: runs that live are listed and not touched.
 * @returns the exit code: 0 if nothing is left of dead runs, 3 if something is
 */
export async function clean({
  ids,
  json = false,
  cache = false,
  print = (text) => process.stdout.write(text),
}: CleanOptions = {}): Promise<number> {
  const report = await cleanDeadRuns(ids)
  const unknown = (ids ?? []).filter((id) => ![...report.cleaned, ...report.alive, ...report.failed].some((owner) => owner.id === id))
  if (json) print(`${JSON.stringify({ ...report, unknown }, null, 2)}\n`)
  else print(`${describe(report, unknown).join('\n')}\n`)
  if (cache) {
    try {
      for (const what of await removeCache()) print(`cache: removed ${what}\n`)
    } catch (error) {
      print(`cache: ${(error as Error).message}\n`)
      return 3
    }
  }
  return report.failed.length > 0 ? 3 : 0
}

function describe({ cleaned, alive, failed }: CleanReport, unknown: readonly string[]): string[] {
  const lines: string[] = []
  for (const { id, removed } of cleaned) {
    lines.push(`${id}: removed ${removed.length === 0 ? 'its record; nothing else was left' : `${removed.length} things`}`)
    lines.push(...removed.map((what) => `  ${what}`))
  }
  const up = new Map(listStanding().map((s) => [s.handle.id, s.name]))
  for (const { id, ownerPid } of alive) {
    const name = up.get(id)
    lines.push(
      name
        ? `${id}: is cluster ${name}, which is up, not touched; take it down: bin/everyhop down ${name}`
        : `${id}: is running (pid ${ownerPid}), not touched`,
    )
  }
  for (const { id, problems } of failed) {
    lines.push(`${id}: could not be removed`)
    lines.push(...problems.map((problem) => `  ${problem}`))
  }
  lines.push(...unknown.map((id) => `${id}: not known; nothing to remove`))
  return lines.length > 0 ? lines : ['nothing to clean']
}
