import { randomBytes } from 'node:crypto'
import type { LoadOptions } from '../../../images/lib/load-protocol.ts'
import type { CollectorSession } from '../../evidence/session.ts'
import type { Progress } from './progress.ts'
import type { Timeline } from './timeline.ts'

/** A pod that takes part in a load. */
export interface LoadPod {
  readonly node: string
  readonly netns: string
  readonly ip: string
  readonly uid: string
}

/** What loads are made with. */
export interface LoadParts {
  readonly sessions: ReadonlyMap<string, CollectorSession>
  readonly progress: Progress
  readonly timeline: Timeline
  /** What the tokens of all loads begin with: collectors search for it. */
  readonly mark: string
}

export type LoadShape = Pick<LoadOptions, 'connections' | 'everyMs' | 'atOnce' | 'least' | 'restAfter' | 'timeoutMs'>

/** Requests before and after a disturbance: enough to see that all was well, and is again; of kept connections, each has had some. */
export const around = 30
const aroundTimeout = 60_000
/** The end of a load, once it was told to stop; more than its last requests' time-out. */
const settleTimeout = 15_000

/**
 * Makes one load from a pod to another between markers; when its first requests are through, does `during`, and goes on until as many have followed; one that rests after these does until then.
 * @param name of the load in the evidence
 */
export async function makeLoad(
  { sessions, progress, timeline, mark: common }: LoadParts,
  name: string,
  client: LoadPod,
  server: LoadPod,
  port: number,
  shape: LoadShape,
  during: () => Promise<void>,
): Promise<void> {
  const all = [...sessions.values()]
  const session = sessions.get(client.node)
  if (!session) throw new Error(`no collector runs on node ${client.node}`)
  const mark = `${common}${randomBytes(4).toString('hex')}`
  const marker = async () => {
    const id = randomBytes(6).toString('hex')
    // A stream that does not show it makes the case inconclusive; the judge will see that for itself.
    await Promise.all(all.map((s) => s.mark(id).catch(() => {})))
    timeline.note('marker', `${name} ${id}`)
  }
  await marker()
  timeline.note('load-begins', `${name} ${mark}`)
  const load = session.load({ id: name, load: { ...shape, mark, host: server.ip, port } }, client)
  const count = () => progress.answers(name).length
  // A load that ends by itself (its connections are gone) is over too; one that could not begin tells so below.
  let over = false
  const ended = load.then(
    (end) => {
      over = true
      progress.wake()
      return end
    },
    (error: Error) => {
      over = true
      progress.wake()
      return error
    },
  )
  try {
    if (await progress.until(() => over || count() >= around, aroundTimeout)) await during()
    const from = count()
    // Told to end, one that rests makes the requests that it has left.
    if (!shape.restAfter) await progress.until(() => over || count() >= from + around, aroundTimeout)
  } finally {
    if (!over) await session.endLoad(name, client).catch(() => {})
  }
  const end = await ended
  if (end instanceof Error) throw end
  timeline.note('load-ends', name)
  // What servers log comes by way of files.
  const delivered = progress.answers(name).filter((a) => a.ok).length
  await progress.until(() => progress.served(mark) >= delivered, settleTimeout)
  await marker()
}
