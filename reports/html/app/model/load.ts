import type { ReportLoad } from '../../report.ts'

/** Sizes of a load's picture, in its own units. */
export const size = { left: 104, right: 14, row: 15, plot: 190, foot: 54 } as const

export interface LoadScene {
  readonly width: number
  readonly height: number
  /** Top of the plot: events stand above it. */
  readonly top: number
  readonly x: (ms: number) => number
  readonly y: (ms: number) => number
  /** Where those that were never answered stand. */
  readonly lost: number
  /** Values that the scale of durations names. */
  readonly ticks: readonly number[]
  /** Whole seconds that the scale of times names. */
  readonly seconds: readonly number[]
  /** Each event with the row that it is told in: rows in which there is room. */
  readonly events: readonly (ReportLoad['events'][number] & { readonly row: number; readonly text: string })[]
}

/** A letter, about. */
const LETTER = 6.4

/** Lays a load out in the room that there is. */
export function sceneOf({ lasted, requests, events }: ReportLoad, room: number, nameOf: (netns: string) => string): LoadScene {
  const width = Math.max(480, room)
  const from = size.left
  const to = width - size.right
  const x = (ms: number) => from + (Math.min(Math.max(ms, 0), lasted) / Math.max(1, lasted)) * (to - from)
  const ends: number[] = []
  const placed = events.map((e) => {
    const text = e.netns === '' ? e.what : `${nameOf(e.netns)} ${e.what}`
    // Text goes on to the left of its line where it would end outside.
    const begin = Math.min(x(e.at), to - text.length * LETTER)
    let row = ends.findIndex((end) => end < begin)
    if (row < 0) row = ends.length
    ends[row] = begin + text.length * LETTER + 8
    return { ...e, row, text }
  })
  const top = 12 + ends.length * size.row
  const longest = Math.max(10, ...requests.filter((r) => r.fate !== 'lost' && r.fate !== 'reset').map((r) => r.took))
  const decades = Math.ceil(Math.log10(longest))
  const ticks = Array.from({ length: decades + 1 }, (_, i) => 10 ** i)
  const lost = top + 10
  const floor = top + size.plot
  const y = (ms: number) => floor - (Math.log10(Math.max(1, ms)) / decades) * (size.plot - 32)
  const step = lasted > 20_000 ? 5 : lasted > 8000 ? 2 : 1
  const seconds = Array.from({ length: Math.floor(lasted / 1000 / step) + 1 }, (_, i) => i * step)
  return { width, height: floor + size.foot, top, x, y, lost, ticks, seconds, events: placed }
}
