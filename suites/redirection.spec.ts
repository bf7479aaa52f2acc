import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { attachCluster } from '../clusters/attach.ts'
import { Batch } from '../harness/run/batch.ts'
import { askVerdicts, type SuiteVerdict } from '../harness/run/judging.ts'
import { phasesOf } from '../harness/run/phases.ts'
import { tellPhase } from '../harness/run/tell.ts'
import './take-its-path.ts'

const { run, cluster, topology, topologyGiven, environment, concurrency, batches } = inject('everyhop')

describe.for(batches)('redirection mode $mode, release $release', ({ mode, release, cases, notRun, directory }) => {
  const batch = new Batch({
    run,
    cluster: attachCluster(cluster),
    topology,
    topologyGiven,
    environment,
    mode,
    release,
    cases,
    notRun,
    concurrency,
    directory,
    onPhase: tellPhase,
  })
  const verdicts = new Map<string, SuiteVerdict>()

  beforeAll(() => batch.open())

  describe.for(phasesOf(cases))('$title', (phase) => {
    beforeAll(() => batch.enter(phase))
    afterAll(() => batch.leave(phase))

    // All wait for their turn at once: their times are those of the whole phase.
    const timeout = 120_000 * phase.steps.length
    test.concurrent.for(phase.steps)('$case.id makes its request ($role)', { timeout }, async (step, { skip, signal }) => {
      const reason = batch.unsupported(step.case)
      skip(reason !== undefined, reason)
      skip(!(await batch.step(step, signal)), 'the run was ended before its turn')
    })
  })

  describe('every request takes the path that its mode promises', () => {
    beforeAll(async () => {
      await batch.close()
      for (const verdict of await askVerdicts(run, directory)) verdicts.set(verdict.id, verdict)
      tellPhase('judged')
    })

    test.for([...cases])('$id', ({ id }, { skip }) => {
      const verdict = verdicts.get(id)
      skip(verdict?.verdict === 'unsupported', verdict?.reason)
      expect(verdict).toTakeItsPath()
    })
  })
})
