import { appendFileSync, mkdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { TopologyRecord } from '../evidence/topology-record.ts'
import type { Expectation, Unsupported } from '../judge/expectation.ts'
import type { Attempt } from '../traffic/attempt.ts'
import type { NotRun } from './context.ts'
import type { Environment } from './environment.ts'
import { writeAtomically } from './write-atomically.ts'

export interface Manifest {
  readonly schema: 1
  readonly run: string
  readonly provider: string
  readonly mode: string
  readonly release: string
  /** Another topology than the one that ships, as the command was given it. */
  readonly topology?: string
  readonly startedAt: string
  readonly endedAt?: string
  readonly environment: Environment
  readonly notRun?: readonly NotRun[]
}

/** The harness's own half of a bundle: what was expected and what was done. Everything is on disk when a call returns. */
export class BundleWriter {
  readonly directory: string

  constructor(directory: string) {
    this.directory = directory
    mkdirSync(join(directory, 'cases'), { recursive: true })
  }

  manifest(manifest: Manifest): void {
    this.#json('bundle.json', manifest)
  }

  topology(topology: TopologyRecord): void {
    this.#json('topology.json', topology)
  }

  expectation(expectation: Expectation | Unsupported): void {
    this.#json(caseFile(expectation.case.id), expectation)
  }

  attempt(attempt: Attempt): void {
    appendFileSync(join(this.directory, 'traffic.jsonl'), `${JSON.stringify(attempt)}\n`)
  }

  #json(file: string, value: unknown): void {
    const path = join(this.directory, file)
    mkdirSync(dirname(path), { recursive: true })
    // Whole or as it was: without its bundle.json nothing of a bundle can be judged.
    writeAtomically(path, `${JSON.stringify(value, null, 1)}\n`)
  }
}

/** `cases/ID.json`, with dots for the slashes of the id. */
export const caseFile = (id: string) => join('cases', `${id.replaceAll('/', '.')}.json`)
