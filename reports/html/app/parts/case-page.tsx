import { useEffect, useLayoutEffect, useMemo, useState } from 'preact/hooks'
import type { PacketEvidence, ReportCase } from '../../report.ts'
import type { Shared } from '../app.tsx'
import { geometryOf } from '../model/geometry.ts'
import { journeysOf } from '../model/journeys.ts'
import { lineOf } from '../model/stations.ts'
import { Copy } from './basics.tsx'
import { CaseHead } from './case-head.tsx'
import { HopList } from './hop-list.tsx'
import { HopPanel, PacketPanel } from './hop-panel.tsx'
import { Ladder } from './ladder.tsx'
import { LoadPicture } from './load-picture.tsx'
import { PathPicture } from './path-picture.tsx'

export function CasePage(shared: Shared & { shown: ReportCase; cases: readonly ReportCase[] }) {
  const { report, route, shown, go } = shared
  const line = useMemo(() => lineOf(shown), [shown])
  const journeys = useMemo(() => journeysOf(shown, line, (i) => report.evidence[i] as PacketEvidence), [shown, line])
  const [all, setAll] = useState(false)
  const [stage, room] = useRoom()
  const geometry = useMemo(() => geometryOf(line, room), [line, room])
  const zero = shown.request?.t ?? journeys[0]?.sights[0]?.packet.t ?? 0

  const everything = [...line.hops.map((h) => h.hop), ...shown.checks]
  const chosen =
    everything.find((h) => h.id === (route.hop ?? shown.brokenHop)) ?? everything.find((h) => h.verdict !== 'pass') ?? everything[0]
  const placed = line.hops.find((h) => h.hop === chosen)
  const packet = route.packet === undefined ? undefined : journeys[route.packet - 1]
  const keep = { case: shown.key, q: route.q, filters: route.filters }
  const toHop = (id: string) => go({ ...keep, hop: id }, true)
  const toPacket = (number: number) => go({ ...keep, ...(chosen ? { hop: chosen.id } : {}), packet: number }, true)
  useCaseKeys(
    shared,
    everything.map((h) => h.id),
    chosen?.id,
    toHop,
    () => setAll((x) => !x),
  )

  const rows = journeys
    .map((journey, i) => ({ journey, number: i + 1 }))
    .filter(({ journey }) => all || journey.hops.length > 0 || journey.leg < 0)
  return (
    <div class="page case">
      <CaseHead {...shared} />
      {shown.legs.length > 0 && (
        <div class="split">
          <div class="stage card" ref={stage}>
            {/* biome-ignore lint/a11y/noNoninteractiveTabindex: where it is too wide it scrolls, so the keyboard must reach it */}
            <div class="scroll" tabIndex={0} role="region" aria-label="Path and packets">
              <PathPicture shown={shown} line={line} geometry={geometry} selected={packet ? undefined : chosen?.id} onHop={toHop} />
              <div class="row">
                <h3>Packets in order</h3>
                <button type="button" class="plain" aria-pressed={all} onClick={() => setAll(!all)}>
                  {all ? 'only those that hops rest on' : `all ${journeys.length}`} <kbd>a</kbd>
                </button>
              </div>
              {rows.length > 0 ? (
                <Ladder
                  line={line}
                  geometry={geometry}
                  rows={rows}
                  zero={zero}
                  hop={packet ? undefined : placed?.number}
                  packet={route.packet}
                  onPacket={toPacket}
                />
              ) : (
                <p class="empty">No packet of this request was seen.</p>
              )}
            </div>
          </div>
          <aside class="card side">
            {packet ? (
              <>
                <button type="button" class="plain back" onClick={() => chosen && toHop(chosen.id)}>
                  ← back to the hop
                </button>
                <PacketPanel journey={packet} number={route.packet!} report={report} shown={shown} zero={zero} />
              </>
            ) : (
              chosen && (
                <>
                  <Steps ids={everything.map((h) => h.id)} chosen={chosen.id} onHop={toHop} />
                  <HopPanel
                    hop={chosen}
                    number={placed?.number}
                    of={line.hops.length}
                    facts={placed && shown.legs[placed.leg]?.facts}
                    report={report}
                    shown={shown}
                    zero={zero}
                  />
                </>
              )
            )}
          </aside>
        </div>
      )}
      {shown.load && (
        <div class="stage card load-card" ref={stage}>
          <LoadPicture load={shown.load} room={room} />
        </div>
      )}
      {shown.legs.length === 0 && shown.checks.length > 0 && (
        <div class="checks-only">
          {shown.checks.map((check) => (
            <div class="card side" key={check.id} id={check.id}>
              <HopPanel hop={check} of={0} report={report} shown={shown} zero={zero} />
            </div>
          ))}
        </div>
      )}
      <HopList {...shared} line={line} chosen={chosen?.id} onHop={toHop} />
      <section class="again">
        <h3>Run just this again</h3>
        <Copy text={shown.reproduce} label="the command" />
        {shown.capture && (
          <p>
            <a href={shown.capture}>capture.pcapng</a> <span class="soft">its packets, with their hops as comments, for Wireshark</span>
          </p>
        )}
      </section>
    </div>
  )
}

function Steps({ ids, chosen, onHop }: { ids: readonly string[]; chosen: string; onHop: (id: string) => void }) {
  const at = ids.indexOf(chosen)
  return (
    <div class="steps">
      <button type="button" disabled={at <= 0} onClick={() => onHop(ids[at - 1]!)} aria-label="previous hop">
        ← previous
      </button>
      <button type="button" disabled={at >= ids.length - 1} onClick={() => onHop(ids[at + 1]!)} aria-label="next hop">
        next →
      </button>
    </div>
  )
}

/** The room that an element has, kept up to date. */
function useRoom(): [(element: HTMLDivElement | null) => void, number] {
  // From case to case it may be another one.
  const [element, attach] = useState<HTMLDivElement | null>(null)
  const [room, setRoom] = useState(760)
  useEffect(() => {
    if (!element) return
    const observer = new ResizeObserver(([entry]) => setRoom(Math.floor(entry!.contentRect.width)))
    observer.observe(element)
    return () => observer.disconnect()
  }, [element])
  return [attach, room]
}

function useCaseKeys(
  { route, report, shown, cases, go }: Shared & { shown: ReportCase; cases: readonly ReportCase[] },
  ids: readonly string[],
  chosen: string | undefined,
  toHop: (id: string) => void,
  toggleAll: () => void,
) {
  useLayoutEffect(() => {
    const pressed = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return
      if (event.target instanceof HTMLElement && event.target.matches('input, select, textarea, dialog, dialog *')) return
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key]
      const leap = { j: 1, k: -1 }[event.key]
      if (step) {
        const next = ids[ids.indexOf(chosen ?? '') + step]
        if (next) toHop(next)
        event.preventDefault()
      } else if (leap) {
        const list = cases.includes(shown) ? cases : report.cases
        const next = list[list.indexOf(shown) + leap]
        if (next) go({ case: next.key, q: route.q, filters: route.filters })
      } else if (event.key === 'a') toggleAll()
      else if (event.key === 'Escape') go({ q: route.q, filters: route.filters })
    }
    addEventListener('keydown', pressed)
    return () => removeEventListener('keydown', pressed)
  })
}
