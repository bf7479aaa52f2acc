/** One benchmark: says how it goes on, and gives its table and its figures. */
export interface Part {
  /** What is measured against what, in a line for --help. */
  readonly about: string
  readonly run: (options: Options) => Promise<Result>
}

export interface Options {
  readonly rounds: number
  /** Of each measurement. */
  readonly seconds: number
  readonly say: (line: string) => void
  readonly signal: AbortSignal
}

export interface Result {
  readonly lines: readonly string[]
  readonly figures: unknown
  /** What was to be reached, and whether it was. */
  readonly goals: readonly Goal[]
}

export interface Goal {
  readonly goal: string
  readonly met: boolean
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const half = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2
}

/** @returns both measurements of each round, taken one after the other; which is first alternates from round to round, because a machine's speed changes while it works */
export async function inPairs<A, B>(rounds: number, signal: AbortSignal, a: () => Promise<A>, b: () => Promise<B>): Promise<[A, B][]> {
  const pairs: [A, B][] = []
  for (let i = 0; i < rounds; i++) {
    signal.throwIfAborted()
    if (i % 2 === 0) {
      const first = await a()
      pairs.push([first, await b()])
    } else {
      const first = await b()
      pairs.push([await a(), first])
    }
  }
  return pairs
}
