import type { LoadRequest, ReportLoad } from '../../report.ts'
import { sceneOf, size } from '../model/load.ts'
import { podName, spanWords } from '../model/words.ts'

const said: Readonly<Record<LoadRequest['fate'], string>> = {
  delivered: 'answered',
  late: 'answered late',
  duplicated: 'served twice',
  reset: 'reset',
  lost: 'lost',
}
const isGone = (r: LoadRequest) => r.fate === 'lost' || r.fate === 'reset'

/** Every request of a load as a sign: when it began and how long it took; above them what was done to the mesh, below when nothing may be readable. */
export function LoadPicture({ load, room }: { load: ReportLoad; room: number }) {
  const scene = sceneOf(load, room, podName)
  const { x, y, top } = scene
  const floor = top + size.plot
  const counts = Object.entries(said)
    .map(([fate, word]) => [load.requests.filter((r) => r.fate === fate).length, word] as const)
    .filter(([n]) => n > 0)
    .map(([n, word]) => `${n} ${word}`)
  const readable = load.requests.filter((r) => r.readable).length
  return (
    <div class="scroll">
      <h3>
        {load.requests.length} requests from {podName(load.client.netns)} to {podName(load.server.netns)}{' '}
        <span class="soft">
          {counts.join(', ')}
          {readable > 0 && `; ${readable} readable between the pods`}
        </span>
      </h3>
      <svg
        class="load"
        width={scene.width}
        height={scene.height}
        role="img"
        aria-label={`${load.requests.length} requests over ${spanWords(load.lasted * 1000)}: ${counts.join(', ')}; ${scene.events.map((e) => `${e.text} at ${spanWords(e.at * 1000)}`).join(', ')}`}
      >
        {scene.ticks.map((ms) => (
          <g key={ms} class="scale">
            <line x1={size.left} x2={scene.width - size.right} y1={y(ms)} y2={y(ms)} />
            <text x={size.left - 8} y={y(ms) + 4} text-anchor="end">
              {ms >= 1000 ? `${ms / 1000} s` : `${ms} ms`}
            </text>
          </g>
        ))}
        {load.requests.some(isGone) && (
          <text class="gone" x={size.left - 8} y={scene.lost + 4} text-anchor="end">
            no answer
          </text>
        )}
        {scene.seconds.map((s) => (
          <text key={s} class="scale" x={x(s * 1000)} y={floor + 18} text-anchor="middle">
            {s} s
          </text>
        ))}
        {scene.events.map((e) => {
          const atEnd = x(e.at) + e.text.length * 6.4 > scene.width - size.right
          return (
            <g key={`${e.at} ${e.text}`} class={e.netns === '' ? 'event own' : 'event'}>
              <line x1={x(e.at)} x2={x(e.at)} y1={8 + e.row * size.row} y2={floor} />
              <text x={x(e.at) + (atEnd ? -4 : 4)} y={12 + e.row * size.row} text-anchor={atEnd ? 'end' : 'start'}>
                {e.text}
              </text>
            </g>
          )
        })}
        {load.requests.map((r, i) => (
          <Request key={i} r={r} cx={x(r.at)} cy={isGone(r) ? scene.lost : y(r.took)} />
        ))}
        <g class="sealed">
          <text x={size.left - 8} y={floor + 38} text-anchor="end">
            must be sealed
          </text>
          <line class="none" x1={size.left} x2={scene.width - size.right} y1={floor + 34} y2={floor + 34} />
          {load.sealed.map(([from, to]) => (
            <line key={from} x1={x(from)} x2={x(to)} y1={floor + 34} y2={floor + 34} />
          ))}
        </g>
      </svg>
      <p class="legend soft">
        Each sign is one request: how far right, when it began; how high, how long it took.{' '}
        <Key>
          <circle class="delivered" cx="7" cy="7" r="3" />
        </Key>{' '}
        answered,{' '}
        <Key>
          <circle class="late" cx="7" cy="7" r="3.5" />
        </Key>{' '}
        late or served twice,{' '}
        <Key>
          <path class="gone" d="M3.5 3.5l7 7m0-7l-7 7" />
        </Key>{' '}
        lost or reset,{' '}
        <Key>
          <circle class="readable" cx="7" cy="7" r="5.5" />
          <circle class="delivered" cx="7" cy="7" r="2.5" />
        </Key>{' '}
        readable between the pods, as all are while one of them is not in the mesh. The thick line below: both are in the mesh, so nobody
        between them may be able to read.
      </p>
    </div>
  )
}

const Key = ({ children }: { children: preact.ComponentChildren }) => (
  <svg class="load key" width="14" height="14" aria-hidden="true">
    {children}
  </svg>
)

function Request({ r, cx, cy }: { r: LoadRequest; cx: number; cy: number }) {
  const title = `began at ${spanWords(r.at * 1000)}, ${said[r.fate]} after ${spanWords(r.took * 1000)}${r.readable ? ', readable between the pods' : ''}`
  return (
    <g>
      <title>{title}</title>
      {r.readable && <circle class="readable" cx={cx} cy={cy} r="5" />}
      {isGone(r) ? (
        <path class="gone" d={`M${cx - 4} ${cy - 4}l8 8m0-8l-8 8`} />
      ) : (
        <circle class={r.fate === 'delivered' ? 'delivered' : 'late'} cx={cx} cy={cy} r={r.fate === 'delivered' ? 2 : 3.5} />
      )}
    </g>
  )
}
