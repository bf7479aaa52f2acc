import type { Evidence, OtherEvidence, PacketEvidence, Report, TraceEvidence } from '../../report.ts'
import { packetLabel } from '../model/journeys.ts'
import { hex, spanWords } from '../model/words.ts'
import { Pairs } from './basics.tsx'

interface Props {
  readonly report: Report
  readonly evidence: Evidence
  /** Of a rule trace: the lines that prove. */
  readonly lines: readonly number[]
  readonly zero: number
  readonly token: string | undefined
  /** The bundle's folder. */
  readonly folder: string
}

const names: Readonly<Record<string, string>> = {
  packet: 'Packet',
  trace: 'Rule trace',
  conntrack: 'Connection tracking',
  socket: 'Socket',
  'ztunnel-log': 'ztunnel’s log',
  served: 'The server’s log',
  route: 'Route',
  'policy-rule': 'Policy rule',
  marker: 'Marker',
  loss: 'Losses',
  'load-end': 'The load, whole',
  'load-answer': 'A request of the load',
  event: 'What was done, and what the API told',
  sighting: 'A token that was readable',
}

/** One observation, whole: what it is, where and when it was made, what it says, and where it stands in the bundle. */
export function EvidenceView(props: Props) {
  const { evidence, zero, folder } = props
  return (
    <article class="evidence">
      <header>
        <b>{names[evidence.kind] ?? evidence.kind}</b>
        <span class="soft">
          {evidence.at === '/' ? '' : evidence.at}
          {evidence.t === undefined ? '' : ` · ${evidence.t >= zero ? '+' : ''}${spanWords(evidence.t - zero)}`}
        </span>
      </header>
      {evidence.kind === 'packet' ? (
        <PacketView {...props} evidence={evidence as PacketEvidence} />
      ) : evidence.kind === 'trace' ? (
        <WalkView {...props} evidence={evidence as TraceEvidence} />
      ) : (
        <Pairs of={Object.entries((evidence as OtherEvidence).fields)} />
      )}
      <footer class="soft">
        {folder}/{evidence.ref}
      </footer>
    </article>
  )
}

function PacketView({ evidence: p, token }: Props & { evidence: PacketEvidence }) {
  const tcp = p.proto === 'tcp'
  return (
    <>
      <Pairs
        of={[
          ['from', p.from],
          ['to', p.to],
          ['seen', p.dir === 'in' ? 'coming in' : 'going out'],
          [p.proto.toUpperCase(), tcp ? [...p.flags].map((f) => flagNames[f] ?? f).join(', ') : packetLabel(p)],
          ...(tcp ? ([['sequence', `${p.seq}, acknowledges ${p.ack}`]] as const) : []),
          [
            'payload',
            p.len === 0
              ? 'none'
              : `${p.len} bytes${p.info && !p.info.endsWith(' B') ? `: ${p.info}` : p.info.includes(',') ? `: ${p.info.slice(0, p.info.lastIndexOf(','))}` : ''}`,
          ],
        ]}
      />
      {p.bytes && <HexDump bytes={Uint8Array.from(atob(p.bytes), (c) => c.charCodeAt(0))} length={p.len} token={token} />}
    </>
  )
}

const flagNames: Readonly<Record<string, string>> = { S: 'SYN', A: 'ACK', F: 'FIN', R: 'RST', P: 'PSH', U: 'URG' }

/** Bytes in a row: both columns fit beside the picture. */
const WIDE = 8

/** The first bytes as numbers and as text; the secret word, where it can be read, is marked. */
function HexDump({ bytes, length, token }: { bytes: Uint8Array; length: number; token: string | undefined }) {
  const text = [...bytes].map((b) => String.fromCharCode(b)).join('')
  const at = token ? text.indexOf(token) : -1
  const secret = (i: number) => at >= 0 && i >= at && i < at + token!.length
  const rows = Array.from({ length: Math.ceil(bytes.length / WIDE) }, (_, r) => r * WIDE)
  return (
    <>
      {at >= 0 && (
        <p class="soft">
          The secret word of this request <mark>can be read</mark> here.
        </p>
      )}
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, so the keyboard must reach it */}
      <pre class="hex" tabIndex={0}>
        {rows.map((r) => (
          <div key={r}>
            <span class="offset">{r.toString(16).padStart(4, '0')}</span>{' '}
            {[...bytes.subarray(r, r + WIDE)].map((b, i) => (
              <Byte key={r + i} text={`${b.toString(16).padStart(2, '0')} `} secret={secret(r + i)} />
            ))}
            {'   '.repeat(Math.max(0, WIDE - (bytes.length - r)))}{' '}
            {[...bytes.subarray(r, r + WIDE)].map((b, i) => (
              <Byte key={r + i} text={b >= 0x20 && b < 0x7f ? String.fromCharCode(b) : '·'} secret={secret(r + i)} />
            ))}
          </div>
        ))}
        {length > bytes.length && <div class="soft">… {length - bytes.length} bytes more</div>}
      </pre>
    </>
  )
}

const Byte = ({ text, secret }: { text: string; secret: boolean }) => (secret ? <mark>{text}</mark> : text)

/** The packet's way through the rules; the line that proves is marked. */
function WalkView({ report, evidence, lines }: Props & { evidence: TraceEvidence }) {
  const walk = report.walks[evidence.walk]!
  return (
    <ol class="walk">
      {walk.lines.map(
        ([table, chain, what, rule, verdict, mark, flow], i) =>
          !(what === 'return' && rule < 0 && !flow && !lines.includes(i)) && (
            <li key={i} class={lines.includes(i) ? 'proof' : ''}>
              {flow && <p class="soft">{flow}</p>}
              <span class="place">
                {table} {chain}
              </span>
              {rule >= 0 ? (
                <code>{report.rules[rule]}</code>
              ) : (
                <code class="soft">{what === 'policy' ? `policy ${verdict}` : what === 'return' ? 'end of the chain' : verdict}</code>
              )}
              {mark !== 0 && <span class="soft"> mark {hex(mark)}</span>}
            </li>
          ),
      )}
    </ol>
  )
}
