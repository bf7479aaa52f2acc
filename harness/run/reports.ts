import { appendFileSync, existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { annotations } from '../../reports/annotations.ts'
import { conformanceYaml } from '../../reports/conformance.ts'
import { differences } from '../../reports/conformance-check.ts'
import { junitXml, unfinishedJunitXml } from '../../reports/junit.ts'
import type { Results } from '../../reports/results.ts'
import { summaryMarkdown } from '../../reports/summary.ts'
import type { Judgement } from '../judge/bundle.ts'
import { runHtml } from '../report/write.ts'
import { writeCaptures } from './captures.ts'
import { writeAtomically } from './write-atomically.ts'

/** What stands in a run's folder from the start: whoever looks for reports of a run that was killed finds one that says so. */
export function writeUnfinished(directory: string): void {
  writeAtomically(join(directory, 'junit.xml'), unfinishedJunitXml(new Date().toISOString(), directory))
}

/** Writes the reports of a run into its folder, all but index.html: they follow from what was judged, so that the same bundle gives the same bytes. */
export function writeReports(results: Results, judgements: readonly Judgement[], directory: string): void {
  writeAtomically(join(directory, 'results.json'), `${JSON.stringify(results, null, 1)}\n`)
  writeAtomically(join(directory, 'junit.xml'), junitXml(results))
  writeAtomically(join(directory, 'summary.md'), summaryMarkdown(results))
  writeAtomically(join(directory, 'conformance.yaml'), conformanceYaml(results))
  for (const judgement of judgements) writeCaptures(judgement, join(directory, 'cases'))
}

/** Writes index.html beside them. @param template the built app */
export function writeIndexHtml(results: Results, judgements: readonly Judgement[], directory: string, template: string): void {
  writeAtomically(join(directory, 'index.html'), runHtml(results, judgements, directory, template))
}

/** What a run's conformance.yaml claims that its evidence does not bear out, a line each; none also where there is no such file. */
export function brokenClaims(results: Results, directory: string): string[] {
  const file = join(directory, 'conformance.yaml')
  return existsSync(file) ? differences(readFileSync(file, 'utf8'), conformanceYaml(results)) : []
}

/** What went wrong beside the verdicts, into the reports that a CI reads. */
export function writeProblems(results: Results, problems: readonly string[], directory: string): void {
  writeAtomically(join(directory, 'junit.xml'), junitXml(results, problems))
  writeAtomically(join(directory, 'summary.md'), summaryMarkdown(results, problems))
}

/** On GitHub: the summary of the step, and annotations on standard error, which the runner reads too. */
export function tellGitHub(
  results: Results | undefined,
  problems: readonly string[],
  env: NodeJS.ProcessEnv = process.env,
  print: (text: string) => void = (text) => process.stderr.write(text),
): void {
  try {
    if (env.GITHUB_STEP_SUMMARY && results) appendFileSync(env.GITHUB_STEP_SUMMARY, summaryMarkdown(results, problems))
  } catch (error) {
    // Verdicts are still to be printed; a variable that was taken into a container names no file there.
    print(`everyhop: the step's summary could not be written: ${(error as Error).message}; summary.md in the run's folder has it\n`)
  }
  if (env.GITHUB_ACTIONS === 'true') for (const line of annotations(results, problems)) print(`${line}\n`)
}
