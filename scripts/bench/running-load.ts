import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { text } from 'node:stream/consumers'
import { setTimeout as after } from 'node:timers/promises'
import type { ClusterNode } from '../../clusters/cluster.ts'
import type { LoadCommand } from '../../images/lib/load-protocol.ts'

/** USER_HZ, in which /proc tells processor time: 100 on every architecture. */
const ticksPerSecond = 100
/** Milliseconds before a measurement. */
const settling = 1000

/** What was seen of a load in some seconds. */
export interface Seen {
  readonly requests: number
  /** Requests answered a second. */
  readonly rate: number
  /** Processor time of the whole machine for each of them, milliseconds: of the load, the mesh, the kernel, and of whatever else runs. */
  readonly machineMs: number
}

interface Count {
  readonly answered: number
  readonly failed: number
}

/** A load that goes on while it is measured: whoever makes and serves it is warm, and differs in nothing from one measurement to the next. */
export class RunningLoad implements AsyncDisposable {
  readonly #child: ReturnType<ClusterNode['runProgram']>
  readonly #lines: AsyncIterator<string>
  readonly #complaint: Promise<string>
  #ended = false

  /** @param uid of the pod whose sleep makes it */
  constructor(node: ClusterNode, uid: string, load: LoadCommand) {
    this.#child = node.runProgram('scripts/bench/make-load.ts', [uid, JSON.stringify(load)])
    this.#complaint = text(this.#child.stderr!)
    this.#lines = createInterface({ input: this.#child.stdout! })[Symbol.asyncIterator]()
  }

  /** The first second is not counted: what was started beside the load compiles its code then. @throws when a request failed: there is no rate to compare then */
  async measure(seconds: number, signal: AbortSignal): Promise<Seen> {
    await after(settling, undefined, { signal })
    const before = { ...(await this.#count()), busy: busySeconds(), t: performance.now() }
    await after(seconds * 1000, undefined, { signal })
    const now = { ...(await this.#count()), busy: busySeconds(), t: performance.now() }
    const requests = now.answered - before.answered
    if (now.failed > 0 || requests === 0) throw new Error(`${now.failed} requests were not answered, ${requests} were: no rate to compare`)
    return { requests, rate: (requests / (now.t - before.t)) * 1000, machineMs: ((now.busy - before.busy) * 1000) / requests }
  }

  #count(): Promise<Count> {
    return this.#ask('count')
  }

  async #ask(what: 'count' | 'end'): Promise<Count> {
    this.#child.stdin!.write(`${what}\n`)
    const { value, done } = await this.#lines.next()
    if (done === true) throw new Error(`the load ended by itself: ${(await this.#complaint).trim()}`)
    return JSON.parse(value) as Count
  }

  /** @throws when a request of the load was not answered */
  async end(): Promise<void> {
    this.#ended = true
    const { failed } = await this.#ask('end')
    if (failed > 0) throw new Error(`${failed} requests were not answered: no rate to compare`)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#ended) await this.end().catch(() => this.#child.kill())
  }
}

/** What all processors have been busy so far, in user and kernel mode and in interrupts: fields 1, 2, 3, 6 and 7 of the first line of /proc/stat. */
function busySeconds(): number {
  const [, user, nice, system, , , irq, softirq] = readFileSync('/proc/stat', 'utf8').split('\n', 1)[0]!.split(/\s+/).map(Number)
  return (user! + nice! + system! + irq! + softirq!) / ticksPerSecond
}

/** What a process and those that it started have used so far, in user and kernel mode: fields 14 and 15 of proc(5)'s stat, counted behind the name in brackets. */
export function processorSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number)
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond + children.reduce((sum, child) => sum + processorSeconds(child), 0)
}
