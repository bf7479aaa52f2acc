import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { DisruptionBatch } from '../harness/disruption/run/batch.ts'
import { askVerdicts, type SuiteVerdict } from '../harness/run/judging.ts'
import { tellPhase } from '../harness/run/tell.ts'
import './take-its-path.ts'

const { run, cluster, topology, topologyGiven, environment, disruptions } = inject('everyhop')

describe.for(disruptions)('redirection mode $mode, release $release', ({ mode, release, cases, notRun, directory }) => {
  const batch = new DisruptionBatch({
    run,
    cluster,
    topology,
    topologyGiven,
    environment,
    mode,
    release,
    disruptions: cases,
    notRun,
    directory,
  })
  const lastOfPods = cases.findLast((c) => c.subject !== 'mesh')
  const verdicts = new Map<string, SuiteVerdict>()

  describe('under load', () => {
    beforeAll(async () => {
      await batch.open()
      tellPhase('controls of loads')
    })
    afterAll(() => batch.close())

    test.for([...cases])('$id', { timeout: 600_000 }, async (disruption) => {
      await batch.make(disruption)
      if (disruption.subject === 'mesh') tellPhase(disruption.id)
      else if (disruption === lastOfPods) tellPhase('disruptions of single pods, side by side')
    })
  })

  describe('every request of a load is accounted for', () => {
    beforeAll(async () => {
      for (const verdict of await askVerdicts(run, directory)) verdicts.set(verdict.id, verdict)
      tellPhase('loads judged')
    })

    test.for([...cases])('$id', ({ id }, { skip }) => {
      const verdict = verdicts.get(id)
      skip(verdict?.verdict === 'unsupported', verdict?.reason)
      expect(verdict).toTakeItsPath()
    })
  })
})
