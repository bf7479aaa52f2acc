/** One benchmark: says how it goes on, and gives its table and its figures. */
export type Part = (options: {
  readonly rounds: number
  /** Of each measurement. */
  readonly seconds: number
  readonly say: (line: string) => void
  readonly signal: AbortSignal
}) => Promise<{ readonly lines: readonly string[]; readonly figures: unknown }>

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const half = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2
}
