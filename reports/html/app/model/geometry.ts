import type { Line } from './stations.ts'

/** Where things are drawn, in pixels: the picture and the packets below it share the columns. */
export interface Geometry {
  readonly width: number
  /** Middle of each station's column. */
  readonly x: readonly number[]
  /** Half of a column. */
  readonly half: number
}

/** Left of the first column: times stand there. */
export const GUTTER = 58
const EDGE = 12
const NODE_GAP = 20
const POD_GAP = 10
const BREAK = 16
const NARROWEST = 46
const WIDEST = 112

/** Spreads the columns over the room that there is; where it is too narrow for all, the drawing is wider than the room. */
export function geometryOf(line: Line, room: number): Geometry {
  const gaps = line.stations.map((s, i) => {
    const before = line.stations[i - 1]
    if (!before) return 0
    if (before.node !== s.node) return NODE_GAP + POD_GAP
    if (before.netns !== s.netns) return POD_GAP
    // Two processes side by side: a leg ends, and another begins elsewhere.
    return before.kind === 'process' && s.kind === 'process' ? BREAK : 0
  })
  const fixed = GUTTER + 2 * EDGE + gaps.reduce((sum, g) => sum + g, 0)
  const column = Math.min(WIDEST, Math.max(NARROWEST, (room - fixed) / Math.max(1, line.stations.length)))
  const x: number[] = []
  let at = GUTTER + EDGE
  for (const gap of gaps) {
    at += gap
    x.push(at + column / 2)
    at += column
  }
  return { width: Math.max(at + EDGE, Math.min(room, 320)), x, half: column / 2 }
}
