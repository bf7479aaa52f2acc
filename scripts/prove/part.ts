/** What a part of the long proofs gets. */
export interface Context {
  /** A folder for what it leaves; exists. */
  readonly out: string
  /** How often it repeats; undefined: as often as is its custom. */
  readonly times: number | undefined
  readonly seed: number
  /** Ends it early, in order. */
  readonly signal: AbortSignal
  /** One line of progress. */
  say(line: string): void
}

export interface Proof {
  /** Each a sentence; none: proven. */
  readonly failures: readonly string[]
  /** Markdown with the numbers. */
  readonly report: string
}

export type Part = (context: Context) => Promise<Proof>
