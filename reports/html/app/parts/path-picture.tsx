import type { ReportCase } from '../../report.ts'
import type { Geometry } from '../model/geometry.ts'
import type { Box, Line, PlacedHop } from '../model/stations.ts'
import { namespaceName, podName } from '../model/words.ts'
import { symbolOf } from './basics.tsx'

const HOP = 25
const TOP = 26
const POD_HEAD = 36
const BELOW = 118

interface Props {
  readonly shown: ReportCase
  readonly line: Line
  readonly geometry: Geometry
  readonly selected: string | undefined
  readonly onHop: (id: string) => void
}

/** The way of the request as one line of stations: nodes and namespaces around it, its hops above it, its legs below. */
export function PathPicture({ shown, line, geometry, selected, onHop }: Props) {
  const stacks = Map.groupBy(line.hops, (h) => h.station)
  const tallest = Math.max(1, ...[...stacks.values()].map((s) => s.length))
  const track = TOP + POD_HEAD + tallest * HOP + 22
  const height = track + BELOW
  const title = `The path of the request through ${line.stations.length} stations, ${line.hops.length} hops`
  return (
    <svg class="picture" width={geometry.width} height={height} viewBox={`0 0 ${geometry.width} ${height}`} role="group" aria-label={title}>
      {line.nodes.map((box) => (
        <NodeBox key={box.from} box={box} geometry={geometry} bottom={track + 56} />
      ))}
      {line.pods.map((box) => (
        <PodBox key={box.from} box={box} shown={shown} geometry={geometry} bottom={track + 48} />
      ))}
      {shown.legs.map((leg, l) => line.legs[l] && <LegLine key={leg.id} leg={leg} span={line.legs[l]} geometry={geometry} track={track} />)}
      {line.stations.map((s, i) => (
        <g key={i} class={`station ${s.kind}${s.label === 'ztunnel' ? ' ztunnel' : ''}`} transform={`translate(${geometry.x[i]} ${track})`}>
          <title>
            {s.label === 'ztunnel'
              ? 'ztunnel: one proxy a node, but its sockets live in this pod’s network namespace'
              : s.dev
                ? `device ${s.dev} in ${s.netns === 'node' ? `the network of node ${s.node}` : s.netns}`
                : `${s.label} in ${s.netns === 'node' ? `node ${s.node}` : s.netns}`}
          </title>
          {s.kind === 'process' ? (
            <rect x={-pill(s.label) / 2} y={-13} width={pill(s.label)} height={26} rx={13} />
          ) : (
            <rect x={-6} y={-6} width={12} height={12} rx={3} />
          )}
          <text y={s.kind === 'process' ? 4 : 24} class={s.kind === 'process' ? 'inside' : ''}>
            {s.label}
          </text>
        </g>
      ))}
      {[...stacks].flatMap(([station, hops]) =>
        hops.map((placed, i) => (
          <HopSign
            key={placed.hop.id}
            placed={placed}
            x={geometry.x[station]!}
            y={track - 28 - (hops.length - 1 - i) * HOP}
            broken={placed.hop.id === shown.brokenHop}
            selected={placed.hop.id === selected}
            onHop={onHop}
          />
        )),
      )}
    </svg>
  )
}

/** The first text that there is room for. */
const fitting = (room: number, ...texts: string[]) => texts.find((t) => t.length <= room * 1.1) ?? texts.at(-1)

const pill = (label: string) => Math.max(44, label.length * 6.2 + 10)

function NodeBox({ box, geometry: { x, half }, bottom }: { box: Box; geometry: Geometry; bottom: number }) {
  const left = x[box.from]! - half - 10
  return (
    <g class="node">
      <rect x={left} y={2} width={x[box.to]! + half + 10 - left} height={bottom - 2} rx={12} />
      <text x={left + 12} y={19}>
        node {box.node}
      </text>
    </g>
  )
}

function PodBox({ box, shown, geometry: { x, half }, bottom }: { box: Box; shown: ReportCase; geometry: Geometry; bottom: number }) {
  const left = x[box.from]! - half - 2
  const width = x[box.to]! + half + 2 - left
  const netns = box.netns!
  const own = netns === 'node'
  const place = [shown.request?.client, shown.request?.server].find((p) => p?.netns === netns && p.node === box.node)
  const name = own ? 'node network' : podName(netns)
  const room = Math.floor((width - 16) / 6.6)
  return (
    <g class={own ? 'pod own' : 'pod'}>
      <title>
        {own
          ? `The network namespace of node ${box.node}`
          : `The network namespace of pod ${podName(netns)}, namespace ${namespaceName(netns)}`}
      </title>
      <rect x={left} y={TOP + 2} width={width} height={bottom - TOP - 2} rx={9} />
      <text x={left + 10} y={TOP + 19} class="name">
        {name.length > room ? `${name.slice(0, Math.max(3, room - 1))}…` : name}
      </text>
      {place && !own && (
        <text x={left + 10} y={TOP + 33}>
          {fitting(room, `${place.ip} · ${place.enrolled ? 'in the mesh' : 'not in the mesh'}`, place.ip)}
        </text>
      )}
    </g>
  )
}

function LegLine({
  leg,
  span,
  geometry: { x },
  track,
}: {
  leg: ReportCase['legs'][number]
  span: { from: number; to: number }
  geometry: Geometry
  track: number
}) {
  const from = x[span.from]!
  const to = x[span.to]!
  const sealed = leg.row === 'sealed'
  const middle = (from + to) / 2
  const y = track + 74
  return (
    <g class={`leg ${leg.row}`}>
      <path class="way" d={`M${from} ${track}H${to}`} />
      {sealed && <path class="core" d={`M${from} ${track}H${to}`} />}
      {sealed && <Lock x={middle - (to - from > 230 ? 120 : 36)} y={y + 29} />}
      <path class="bracket" d={`M${from + 5} ${y - 6}v6H${to - 5}v-6`} />
      <text x={middle} y={y + 17} class="title">
        {leg.title.replace(/ \(.*\)$/, '')}
      </text>
      <text x={middle} y={y + 33} class="row">
        {leg.row}
        {sealed && to - from > 230 ? ': nobody between can read it' : ''}
      </text>
    </g>
  )
}

/** Drawn, because not every machine has a letter for it. */
const Lock = ({ x, y }: { x: number; y: number }) => (
  <g class="lock" transform={`translate(${x} ${y})`}>
    <rect x={-4.5} y={-2} width={9} height={7} rx={1.5} />
    <path d="M-2.6 -2V-4.2a2.6 2.6 0 0 1 5.2 0V-2" />
  </g>
)

function HopSign({
  placed,
  x,
  y,
  broken,
  selected,
  onHop,
}: {
  placed: PlacedHop
  x: number
  y: number
  broken: boolean
  selected: boolean
  onHop: (id: string) => void
}) {
  const { hop, number } = placed
  return (
    <g
      class={`hop ${hop.verdict}${broken ? ' broken' : ''}${selected ? ' selected' : ''}`}
      transform={`translate(${x} ${y})`}
      role="button"
      tabIndex={0}
      data-hop={hop.id}
      aria-pressed={selected}
      aria-label={`hop ${number}: ${hop.title}, ${hop.verdict}${broken ? ', the first broken hop' : ''}`}
      onClick={() => onHop(hop.id)}
      onKeyDown={(e) => {
        if (e.key !== 'Enter' && e.key !== ' ') return
        e.preventDefault()
        onHop(hop.id)
      }}
    >
      <title>
        {number}. {hop.title}
      </title>
      {broken && <circle class="halo" r={17} />}
      {hop.verdict === 'fail' ? <path d="M-10 -4.5L-4.5 -10H4.5L10 -4.5V4.5L4.5 10H-4.5L-10 4.5Z" /> : <circle r={10} />}
      <text y={3.8}>{number}</text>
      {hop.verdict !== 'pass' && (
        <text x={9} y={-6} class="sign">
          {symbolOf(hop.verdict)}
        </text>
      )}
    </g>
  )
}
