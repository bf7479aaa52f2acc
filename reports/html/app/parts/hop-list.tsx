import type { ReportCase, ReportHop } from '../../report.ts'
import type { Shared } from '../app.tsx'
import type { Line } from '../model/stations.ts'
import { Mark } from './basics.tsx'

interface Props extends Shared {
  readonly shown: ReportCase
  readonly line: Line
  readonly chosen: string | undefined
  readonly onHop: (id: string) => void
}

/** All hops as text, leg by leg, and what holds for the case as a whole. */
export function HopList({ shown, line, chosen, onHop }: Props) {
  if (shown.legs.length === 0) return null
  const numbers = new Map(line.hops.map((h) => [h.hop.id, h.number]))
  return (
    <section class="hop-list" aria-label="All hops">
      {shown.legs.map((leg) => (
        <div key={leg.id}>
          <h3>
            {leg.title} <span class={`row-sign ${leg.row}`}>{leg.row}</span>
            {leg.reused && <span class="soft"> on a connection that was open</span>}
          </h3>
          {leg.means && <p class="soft means">{leg.means}</p>}
          <Items hops={leg.hops} numbers={numbers} broken={shown.brokenHop} chosen={chosen} onHop={onHop} />
        </div>
      ))}
      <div>
        <h3>The case as a whole</h3>
        <Items hops={shown.checks} numbers={numbers} broken={shown.brokenHop} chosen={chosen} onHop={onHop} />
      </div>
    </section>
  )
}

function Items({
  hops,
  numbers,
  broken,
  chosen,
  onHop,
}: {
  hops: readonly ReportHop[]
  numbers: ReadonlyMap<string, number>
  broken: string | undefined
  chosen: string | undefined
  onHop: (id: string) => void
}) {
  return (
    <ol>
      {hops.map((h) => (
        <li key={h.id}>
          <button type="button" aria-current={h.id === chosen} class={h.id === broken ? 'broken' : ''} onClick={() => onHop(h.id)}>
            <Mark verdict={h.verdict} />
            <span class="number">{numbers.get(h.id) ?? ''}</span>
            <span>{h.title}</span>
            <small class="soft">
              {h.proofs.filter((p) => p.status === 'proven').length}/{h.proofs.length}
            </small>
          </button>
        </li>
      ))}
    </ol>
  )
}
