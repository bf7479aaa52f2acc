import type { Report, ReportCase, ReportHop, ReportProof } from '../../report.ts'
import { evidenceOf, type Shown } from '../model/grouping.ts'
import type { Journey } from '../model/journeys.ts'
import { hex, likelyWords, proofTitle, spanWords } from '../model/words.ts'
import { Mark, Pairs } from './basics.tsx'
import { EvidenceView } from './evidence-view.tsx'

interface Props {
  readonly report: Report
  readonly shown: ReportCase
  readonly zero: number
}

/** So many pieces are shown at once. */
const FEW = 6

/** One hop: what happens there, what was asked for, what was seen, and the evidence at a click. */
export function HopPanel({
  hop,
  number,
  of,
  facts,
  ...rest
}: Props & { hop: ReportHop; number?: number | undefined; of: number; facts?: string | undefined }) {
  const broken = hop.id === rest.shown.brokenHop
  return (
    <section class="panel" aria-label={`Hop: ${hop.title}`} aria-live="polite">
      <p class="eyebrow">
        {number === undefined ? 'What holds for the whole case' : `Hop ${number} of ${of}`}
        {hop.vantage && ` · ${hop.vantage}`}
      </p>
      <h2>
        <Mark verdict={hop.verdict} /> {hop.title}
      </h2>
      {hop.means && <p class="words">{hop.means}</p>}
      {broken && (
        <p class="verdict-line fail">
          The first hop that is not as it must be.
          {rest.shown.likely && (
            <>
              {' '}
              Likely cause: <code>{likelyWords(rest.shown.likely)}</code>
            </>
          )}
        </p>
      )}
      {hop.proofs.map((proof, i) => (
        <ProofView key={`${hop.id} ${i}`} proof={proof} open={proof.status !== 'proven' || hop.proofs.length === 1} {...rest} />
      ))}
      {facts && <p class="soft facts">Expected by: {facts}</p>}
    </section>
  )
}

const statusWords = { proven: 'seen', contradicted: 'something else was seen', missing: 'not seen' } as const

function ProofView({ proof, open, report, shown, zero }: Props & { proof: ReportProof; open: boolean }) {
  const folder = report.batches[shown.batch]?.folder ?? ''
  const { main, ports } = evidenceOf(proof, (i) => report.evidence[i]!)
  const view = ({ evidence, lines }: Shown) => (
    <EvidenceView
      key={evidence.ref}
      report={report}
      evidence={evidence}
      lines={lines}
      zero={zero}
      token={shown.request?.token}
      folder={folder}
    />
  )
  return (
    <details class={`proof ${proof.status}`} open={open}>
      <summary>
        <Mark verdict={proof.status} />
        <span>
          {proofTitle(proof)}
          <small>
            {statusWords[proof.status]}
            {proof.label === 'observed'
              ? ' on this request'
              : proof.label === 'computed'
                ? ', computed from recorded state'
                : ', over the whole run'}
          </small>
        </span>
      </summary>
      <div class="body">
        {proof.asked && (
          <>
            <h4>Asked for</h4>
            <Asked asked={proof.asked} />
          </>
        )}
        <h4>Seen</h4>
        {proof.status === 'contradicted' && <p class="verdict-line fail">{proof.seen}</p>}
        {proof.status === 'proven' && proof.seen && <p>{proof.seen}</p>}
        {proof.status === 'missing' && <p class="verdict-line inconclusive">Nothing like it, and nothing in its place.</p>}
        {proof.status === 'proven' && proof.refs.length === 0 && !proof.pointers && !proof.seen && (
          <p>
            {/^(no|the token is readable at no)\b|only/.test(proof.expected)
              ? 'Nothing else, in all that was recorded.'
              : 'As the client itself tells.'}
          </p>
        )}
        {main.slice(0, FEW).map(view)}
        {main.length > FEW && (
          <details class="more">
            <summary>{main.length - FEW} more</summary>
            {main.slice(FEW).map(view)}
          </details>
        )}
        {proof.more !== undefined && <p class="soft">And {proof.more.toLocaleString('en')} more, which only the bundle holds.</p>}
        {proof.pointers && (
          <ul class="pointers soft">
            {proof.pointers.slice(0, FEW).map((p) => (
              <li key={p}>{p}</li>
            ))}
            {proof.pointers.length > FEW && <li>and {proof.pointers.length - FEW} more</li>}
          </ul>
        )}
        {ports.length > 0 && (
          <details class="more">
            <summary>Where its ports are known from</summary>
            {ports.map(view)}
          </details>
        )}
      </div>
    </details>
  )
}

const hidden = new Set(['kind', 'node', 'which', 'direction', 'base', 'row'])
const labels: Readonly<Record<string, string>> = {
  netns: 'in',
  dev: 'device',
  orig: 'original',
  reply: 'answered',
  meets: 'rule',
  without: 'and without',
}

/** What the path's table asks for, field by field. */
function Asked({ asked }: { asked: Readonly<Record<string, unknown>> }) {
  const rows = Object.entries(asked).flatMap(([name, value]): [string, unknown][] => {
    if (hidden.has(name) || (Array.isArray(value) && value.length === 0)) return []
    if (name === 'fields') return Object.entries(value as object)
    return [[labels[name] ?? name, value]]
  })
  return <Pairs of={rows.map(([name, value]) => [name, worded(name, value)] as const)} />
}

function worded(name: string, value: unknown) {
  if (name === 'mark') return hex(value)
  if (Array.isArray(value)) return value.join(', ')
  if (value && typeof value === 'object') {
    if ('from' in value && 'to' in value) return `${value.from} → ${value.to}`
    if ('rule' in value) return <code>{String(value.rule)}</code>
    if ('policy' in value) return 'none: it runs to the end of the chain'
    return JSON.stringify(value)
  }
  return String(value)
}

/** One packet: everywhere it was seen, and what it is. */
export function PacketPanel({ journey, number, report, shown, zero }: Props & { journey: Journey; number: number }) {
  const first = journey.sights.find((s) => s.packet.bytes) ?? journey.sights[0]!
  return (
    <section class="panel" aria-label={`Packet ${number}`} aria-live="polite">
      <p class="eyebrow">Packet {number}</p>
      <h2>{journey.label}</h2>
      <p class="words">
        {journey.leg < 0
          ? 'This packet belongs to none of the legs of the path.'
          : journey.reach === 'through'
            ? `It came through, ${journey.forward ? 'from the beginning of its leg to its end' : 'from the end of its leg back'}.`
            : journey.reach === 'device'
              ? 'It was seen up to the last device of its leg; what comes behind is not as it must be.'
              : 'It was not seen at the end of its leg.'}
        {journey.hops.length > 0 && ` Hops ${journey.hops.join(', ')} rest on it.`}
      </p>
      <h4>Seen at</h4>
      <ol class="sights">
        {journey.sights.map((s) => (
          <li key={s.index}>
            <span>
              {s.packet.at} <span class="soft">{s.packet.dir}</span>
            </span>
            <span class="number">+{spanWords(s.packet.t - journey.sights[0]!.packet.t)}</span>
          </li>
        ))}
      </ol>
      <EvidenceView
        report={report}
        evidence={first.packet}
        lines={[]}
        zero={zero}
        token={shown.request?.token}
        folder={report.batches[shown.batch]?.folder ?? ''}
      />
    </section>
  )
}
