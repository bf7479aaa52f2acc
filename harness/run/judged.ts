import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { type Results, resultsSchema, type Stage } from '../../reports/results.ts'
import { EvidenceError } from '../evidence/bundle.ts'
import { type Judgement, judgeBundle } from '../judge/bundle.ts'
import { resultsOf } from './results.ts'

/**
 * Judges what a run left: its folder, with one bundle a mode and release below `bundle/`, or one bundle alone.
 * @param stages where the run's time went; by default what its results say, the only part of them that no bundle tells
 * @throws EvidenceError when there is no bundle, or one cannot be read
 */
export function judgeRun(directory: string, stages = stagesOf(directory)): { results: Results; judgements: readonly Judgement[] } {
  // In the order in which they were made; folders alone would come by their names.
  const judgements = bundlesIn(directory)
    .map(judgeBundle)
    .toSorted((a, b) => (String(a.manifest.startedAt) < String(b.manifest.startedAt) ? -1 : 1))
  const [{ manifest }] = judgements as [Judgement]
  const results = resultsOf(
    {
      run: manifest.run,
      provider: manifest.provider,
      release: [...new Set(judgements.map((j) => j.manifest.release))].join(','),
      startedAt: String(manifest.startedAt),
      ...(typeof manifest.topology === 'string' ? { topology: manifest.topology } : {}),
      ...(stages ? { stages } : {}),
      notes: judgements.flatMap((j) => j.notes),
    },
    judgements.flatMap((j) => j.verdicts.map((v) => ({ ...v, ...cellOf(j, v.id) }))),
  )
  return { results, judgements }
}

function stagesOf(directory: string): readonly Stage[] | undefined {
  const file = join(directory, 'results.json')
  if (!existsSync(file)) return undefined
  try {
    return resultsSchema.parse(JSON.parse(readFileSync(file, 'utf8'))).stages
  } catch {
    return undefined
  }
}

/** Where a case stands in the matrix, as its bundle says: every word of the case but its names. */
function cellOf({ bundle, manifest }: Judgement, id: string): { release: string; axes: Record<string, string> } {
  const written = bundle.cases.map(({ value }) => value as { case: Record<string, unknown> }).find((e) => e.case.id === id)
  const names = ['id', 'mode', 'release']
  const axes = Object.entries(written?.case ?? {}).filter((entry): entry is [string, string] => typeof entry[1] === 'string')
  return { release: manifest.release, axes: Object.fromEntries(axes.filter(([key]) => !names.includes(key))) }
}

function bundlesIn(directory: string): string[] {
  if (existsSync(join(directory, 'bundle.json'))) return [directory]
  const parent = join(directory, 'bundle')
  const found = existsSync(parent)
    ? readdirSync(parent)
        .map((name) => join(parent, name))
        .filter((path) => statSync(path).isDirectory())
        .sort()
    : []
  if (found.length > 0) return found
  throw new EvidenceError(
    directory,
    '',
    existsSync(directory) ? 'there is no bundle in it' : 'there is no such folder',
    'Give the folder of a run, or of a bundle',
  )
}
