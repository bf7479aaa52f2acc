import { BroadcastChannel } from 'node:worker_threads'
import { type Judgement, judgeBundle } from '../judge/bundle.ts'
import type { CaseVerdict } from '../judge/verdict.ts'

interface Question {
  readonly directory: string
}
type Answer = Question & ({ readonly verdicts: readonly SuiteVerdict[] } | { readonly problem: string })

/** Of a verdict, what a suite's claim needs. */
export type SuiteVerdict = Pick<CaseVerdict, 'id' | 'verdict' | 'brokenHop' | 'reason'>

const channelOf = (run: string) => new BroadcastChannel(`everyhop-judge-${run}`)

/**
 * Judges the bundles of a run when its suites ask, and keeps what it found for the reports: each bundle is judged once.
 * Suites run in a thread of this process; an answer to them is plain data.
 */
export class JudgeDesk implements Disposable {
  readonly judgements = new Map<string, Judgement>()
  readonly #channel: BroadcastChannel

  constructor(run: string) {
    this.#channel = channelOf(run)
    this.#channel.onmessage = ({ data }) => {
      if (isQuestion(data)) this.#channel.postMessage(this.#answer(data))
    }
  }

  [Symbol.dispose](): void {
    this.#channel.close()
  }

  #answer({ directory }: Question): Answer {
    try {
      const judgement = judgeBundle(directory)
      this.judgements.set(directory, judgement)
      const verdicts = judgement.verdicts.map(({ id, verdict, brokenHop, reason }) => ({
        id,
        verdict,
        ...(brokenHop === undefined ? {} : { brokenHop }),
        ...(reason === undefined ? {} : { reason }),
      }))
      return { directory, verdicts }
    } catch (error) {
      return { directory, problem: (error as Error).message }
    }
  }
}

const isQuestion = (data: unknown): data is Question =>
  typeof data === 'object' && data !== null && Object.keys(data).join() === 'directory'

/** Has the run's own process judge a bundle that is whole. @throws Error with the reason why it cannot be judged */
export async function askVerdicts(run: string, directory: string): Promise<readonly SuiteVerdict[]> {
  const channel = channelOf(run)
  const answer = Promise.withResolvers<Answer>()
  channel.onmessage = ({ data }) => {
    if (!isQuestion(data) && (data as Answer).directory === directory) answer.resolve(data as Answer)
  }
  channel.postMessage({ directory })
  try {
    const told = await answer.promise
    if ('problem' in told) throw new Error(told.problem)
    return told.verdicts
  } finally {
    channel.close()
  }
}
