import type { BundleDirectory } from '../evidence/parse/directory.ts'
import { readJson } from '../evidence/parse/snapshots.ts'
import { type DisruptionRecord, expectationSchema } from './expectation.ts'

/** Folder of a bundle with one file for each disruption. */
export const disruptionsFolder = 'disruptions'

/** The disruptions of a bundle, in their order; most bundles have none. */
export function disruptionsIn(directory: BundleDirectory, notes: string[]): DisruptionRecord[] {
  return directory
    .files(disruptionsFolder)
    .filter((name) => name.endsWith('.json'))
    .flatMap((name) => readJson(directory, `${disruptionsFolder}/${name}`, expectationSchema, notes) ?? [])
    .toSorted((a, b) => a.index - b.index)
}
