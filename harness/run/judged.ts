import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { type Results, resultsSchema, type Stage } from '../../reports/results.ts'
import { disruptionsIn } from '../disruption/bundle.ts'
import { EvidenceError } from '../evidence/bundle.ts'
import { Digests } from '../evidence/digest.ts'
import { type Judgement, judgeBundle } from '../judge/bundle.ts'
import { caseFile } from './bundle-write.ts'
import { type JudgedCell, resultsOf } from './results.ts'

/**
 * Judges what a run left: its folder, with one bundle a mode and release below `bundle/`, or one bundle alone.
 * @param stages where the run's time went; by default what its results say, the only part of them that no bundle tells
 * @param known judgements of bundles that were judged before, by their directory
 * @throws EvidenceError when there is no bundle, or one cannot be read
 */
export function judgeRun(
  directory: string,
  stages = stagesOf(directory),
  known: ReadonlyMap<string, Judgement> = new Map(),
): { results: Results; judgements: readonly Judgement[] } {
  // In the order in which they were made; folders alone would come by their names.
  const judgements = bundlesIn(directory)
    .map((bundle) => known.get(bundle) ?? judgeBundle(bundle))
    .toSorted((a, b) => (String(a.manifest.startedAt) < String(b.manifest.startedAt) ? -1 : 1))
  const [{ manifest }] = judgements as [Judgement]
  // The first bundle tells of cells whose turn had not come when it was begun.
  const made = new Set(judgements.flatMap((j) => j.verdicts.map((v) => v.id)))
  const results = resultsOf(
    {
      run: manifest.run,
      provider: manifest.provider,
      release: [...new Set(judgements.map((j) => j.manifest.release))].join(','),
      startedAt: String(manifest.startedAt),
      ...(typeof manifest.topology === 'string' ? { topology: manifest.topology } : {}),
      ...(stages ? { stages } : {}),
      notes: judgements.flatMap((j) => j.notes),
      notRun: judgements.flatMap((j) => j.manifest.notRun ?? []).filter(({ id }) => !made.has(id)),
      ...(manifest.environment ? { environment: manifest.environment } : {}),
    },
    judgements.flatMap((j) => cellsOf(j, relative(directory, j.bundle.directory.path))),
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

/** The verdicts of a bundle, each with where its case stands in the matrix, in every word of the case but its names, and what it rests on. */
function cellsOf({ bundle, manifest, verdicts }: Judgement, folder: string): JudgedCell[] {
  const all = [...bundle.cases.map(({ value }) => value), ...disruptionsIn(bundle.directory, [])] as { case: Record<string, unknown> }[]
  const written = new Map(all.map((e) => [e.case.id, e.case]))
  const digests = new Digests(bundle.directory)
  return verdicts.map((v) => {
    const words = Object.entries(written.get(v.id) ?? {}).filter((entry): entry is [string, string] => typeof entry[1] === 'string')
    const hops = [...v.legs.flatMap((l) => l.hops), ...v.checks]
    const made = bundle.traffic.filter((line) => (line.value as { case: string }).case === v.id).map((line) => line.ref)
    const digest = digests.of([caseFile(v.id), ...made, ...hops.flatMap((h) => h.proofs.flatMap((p) => p.refs))])
    return {
      ...v,
      release: manifest.release,
      axes: Object.fromEntries(words.filter(([key]) => !['id', 'mode', 'release'].includes(key))),
      evidence: { bundle: folder || '.', ...digest },
    }
  })
}

function bundlesIn(directory: string): string[] {
  if (existsSync(join(directory, 'bundle.json'))) return [directory]
  // Where nothing can be seen, nobody can tell that it is not there.
  if (foldersIn(directory).includes('bundle')) {
    const found = foldersIn(join(directory, 'bundle')).map((name) => join(directory, 'bundle', name))
    // One that was only begun when the run was killed holds nothing, and takes nothing from the others.
    const begun = found.filter((bundle) => existsSync(join(bundle, 'bundle.json')) || foldersIn(bundle).includes('evidence'))
    if (begun.length > 0) return begun
    if (found.length > 0) return found
  }
  throw new EvidenceError(directory, '', 'there is no bundle in it', 'Give the folder of a run, or of a bundle')
}

/** Names of the folders in one, sorted. @throws EvidenceError when it cannot be read */
function foldersIn(directory: string): string[] {
  try {
    const entries = readdirSync(directory, { withFileTypes: true })
    return entries
      .filter((e) => e.isDirectory())
      .map((e) => e.name)
      .sort()
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    const problem = code === 'ENOTDIR' ? 'it is no folder' : code === 'ENOENT' ? 'there is no such folder' : `it cannot be read (${code})`
    const fix = code === 'EACCES' ? 'Let yourself read it, or do this as its owner' : 'Give the folder of a run, or of a bundle'
    throw new EvidenceError(directory, '', problem, fix)
  }
}
