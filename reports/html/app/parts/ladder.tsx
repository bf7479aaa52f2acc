import type { Geometry } from '../model/geometry.ts'
import { GUTTER } from '../model/geometry.ts'
import type { Journey } from '../model/journeys.ts'
import type { Line } from '../model/stations.ts'
import { spanWords } from '../model/words.ts'

const ROW = 32

interface Props {
  readonly line: Line
  readonly geometry: Geometry
  readonly rows: readonly { readonly journey: Journey; readonly number: number }[]
  /** Where time begins, microseconds since the report's epoch. */
  readonly zero: number
  /** Number of the hop that is looked at. */
  readonly hop: number | undefined
  readonly packet: number | undefined
  readonly onPacket: (number: number) => void
}

/** The packets in order, below the stations that they pass: time runs down. A dot is where one was seen. */
export function Ladder({ line, geometry, rows, zero, hop, packet, onPacket }: Props) {
  const height = rows.length * ROW + 12
  return (
    <svg
      class="ladder"
      width={geometry.width}
      height={height}
      viewBox={`0 0 ${geometry.width} ${height}`}
      role="group"
      aria-label="Packets in order"
    >
      {line.stations.map((s, i) => (
        <path key={i} class={`column ${s.kind}`} d={`M${geometry.x[i]} 0V${height}`} />
      ))}
      {rows.map(({ journey, number }, i) => {
        const ofHop = hop !== undefined && journey.named.includes(hop)
        return (
          <g
            key={number}
            class={`journey${ofHop ? ' of-hop' : ''}${packet === number ? ' selected' : ''}${journey.hops.length === 0 ? ' minor' : ''}${journey.leg < 0 ? ' stray' : ''}`}
            transform={`translate(0 ${i * ROW + 22})`}
            role="button"
            tabIndex={0}
            aria-pressed={packet === number}
            aria-label={`packet ${number}: ${journey.label}, after ${spanWords(journey.sights[0]!.packet.t - zero)}`}
            onClick={() => onPacket(number)}
            onKeyDown={(e) => {
              if (e.key !== 'Enter' && e.key !== ' ') return
              e.preventDefault()
              onPacket(number)
            }}
          >
            <rect class="band" x={0} y={-ROW / 2 - 4} width={geometry.width} height={ROW} rx={5} />
            <text class="time" x={GUTTER - 8} y={4}>
              {spanWords(journey.sights[0]!.packet.t - zero)}
            </text>
            <Arrow journey={journey} line={line} geometry={geometry} />
          </g>
        )
      })}
    </svg>
  )
}

function Arrow({ journey, line, geometry: { x, width } }: { journey: Journey; line: Line; geometry: Geometry }) {
  const span = line.legs[journey.leg]
  const seen = journey.sights.map((s) => s.station).filter((s) => s >= 0)
  if (seen.length === 0 || !span)
    return (
      <text class="label" x={GUTTER + 8} y={4}>
        {journey.label}, seen at {journey.sights[0]!.packet.at}
      </text>
    )
  const first = x[journey.forward ? Math.min(...seen) : Math.max(...seen)]!
  const last = x[journey.forward ? Math.max(...seen) : Math.min(...seen)]!
  const begin = journey.begun ? x[journey.forward ? span.from : span.to]! : first
  const end = journey.reach === 'through' ? x[journey.forward ? span.to : span.from]! : last
  const way = journey.forward ? 1 : -1
  const left = Math.min(begin, end)
  const right = Math.max(begin, end)
  const wide = journey.label.length * 6.3
  const above = right - left > wide + 12
  const after = !above && right + 10 + wide < width
  const before = !above && !after && left - 10 - wide > GUTTER
  const middle = Math.min(width - wide / 2, Math.max(GUTTER + wide / 2, (left + right) / 2))
  return (
    <>
      <path class="way dotted" d={`M${begin} 0H${first}M${last} 0H${end}`} />
      <path class="way" d={`M${first} 0H${last}`} />
      {journey.reach !== 'lost' ? (
        <path class="head" d={`M${end} 0l${-8 * way} -4.5v9Z`} />
      ) : (
        <text class="lost" x={end + 12 * way} y={4.5}>
          ✕
        </text>
      )}
      {[...new Set(seen)].map((s) => (
        <circle key={s} cx={x[s]} cy={0} r={3.2} />
      ))}
      <text
        class={`label${after ? ' after' : before ? ' before' : ' above'}`}
        x={after ? right + 10 : before ? left - 10 : middle}
        y={after || before ? 4 : -8}
      >
        {journey.label}
      </text>
    </>
  )
}
