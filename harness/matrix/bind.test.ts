import { expect, test } from 'vitest'
import { participants, promised } from '../judge/testing.ts'
import { modeNames, modeOf } from '../modes/index.ts'

const matrices = modeNames.flatMap((mode) => modeOf(mode).releases.map((release) => [mode, release] as const))

test.for(matrices)(
  'mode %s, release %s: no two cases put policies on one server, or need a new tunnel between the same two pods',
  ([mode, release]) => {
    const { expectations } = promised(mode, release)
    const servers = expectations.filter((e) => e.case.policy === 'allow' || e.case.policy === 'deny').map((e) => e.server.netns)
    expect(servers.length).toBeGreaterThan(1)
    expect(new Set(servers).size).toBe(servers.length)
    const pairs = expectations
      .filter((e) => e.case.traffic === 'mesh-to-mesh' && e.case.connection === 'new' && e.case.protocol !== 'udp')
      .map((e) => `${e.client.netns} ${e.server.netns}`)
    expect(new Set(pairs).size).toBe(pairs.length)
  },
)

test.for(matrices)('mode %s, release %s: also where only the cases with policies are asked for', ([mode, release]) => {
  const { expectations, unbound } = promised(mode, release, (c) => c.policy !== 'none')
  expect(unbound).toEqual([])
  const servers = expectations.filter((e) => e.case.policy === 'allow' || e.case.policy === 'deny').map((e) => e.server.netns)
  expect(new Set(servers).size).toBe(servers.length)
})

test.for(matrices)('mode %s, release %s: in a mesh that captures no questions, only what asks for names has no pair', ([mode, release]) => {
  const who = participants().map((p) => ({ ...p, dnsUncaptured: true }))
  const { expectations, unbound } = promised(mode, release, (c) => c.placement === 'other-node', who)
  expect(expectations.length).toBeGreaterThan(20)
  for (const { case: c } of unbound) expect(c.question !== undefined || ['service-name', 'headless'].includes(c.address), c.id).toBe(true)
})
