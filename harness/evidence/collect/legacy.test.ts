import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { observations, openBundle } from '../bundle.ts'
import type { TraceObservation } from '../observation.ts'
import { TestNode } from './test-node.ts'
import { inPodRules, type TestNetns } from './testbed.ts'

let at: TestNode
beforeEach(async () => {
  at = await TestNode.create()
})
afterEach(() => at[Symbol.asyncDispose]())

const rulesOf = (netns: TestNetns) => netns.sh('iptables-legacy-save | grep -v "^[#:]"')
const loggerOf = (netns: TestNetns) => netns.sh('cat /proc/sys/net/netfilter/nf_log/2 /proc/sys/net/netfilter/nf_log/10')

/** The in-pod connection: the client's is redirected to a proxy beside it, which makes its own to the server. @returns the client's port */
async function exchange(): Promise<number> {
  await at.server.listen('10.244.1.6', 8080, (socket) => socket.on('data', () => socket.end('pong')))
  await at.client.listen(
    '127.0.0.1',
    15001,
    async (socket) => {
      const upstream = await at.client.connect('10.244.1.6', 8080, { mark: 0x539 })
      socket.pipe(upstream)
      upstream.pipe(socket)
    },
    0x539,
  )
  return at.exchange()
}

function parsed(): TraceObservation[] {
  writeFileSync(
    join(at.bundle, 'bundle.json'),
    JSON.stringify({ schema: 1, run: 'r', provider: 'lab', mode: 'inpod', release: 'today', startedAt: 0, endedAt: 1 }),
  )
  const opened = openBundle(at.bundle)
  const found = observations(opened).filter((o) => o.kind === 'trace')
  expect(opened.notes).toEqual([])
  return found
}

test('iptables-legacy rules are found for the opening, its answer and data, with marks; nothing of ours is left', async () => {
  at.client.sh('iptables-legacy-restore --noflush', inPodRules)
  at.client.sh('ip rule add fwmark 0x111/0xfff pref 32764 lookup 100; ip route replace local 0.0.0.0/0 dev lo table 100')
  const [rules, logger] = [rulesOf(at.client), loggerOf(at.client)]
  expect(logger).not.toContain('nfnetlink_log')
  await at.session.watch(at.pods)
  expect(loggerOf(at.client)).toBe('nfnetlink_log\nnfnetlink_log\n')
  await at.session.mark('before-00001')
  const port = await exchange()
  await at.session.mark('after-000001')
  await at.session.snapshot('after')
  // Rule numbers are those of the namespace's own rules: none of ours is among them.
  expect(rulesOf(at.client)).toBe(rules)
  await at.session.stop()
  expect(loggerOf(at.client)).toBe(logger)
  expect(rulesOf(at.client)).toBe(rules)

  const legacy = parsed().filter((o) => o.backend === 'legacy')
  expect(new Set(legacy.map(({ netns }) => netns))).toEqual(new Set(['demo.client']))
  const [app, there] = [`10.244.1.5:${port}`, '10.244.1.6:8080']
  const lines = (from: string, to: string, flags: string, table: string) =>
    legacy
      .filter((o) => o.from === from && o.to === to && o.flags === flags && o.table === table)
      .map(({ chain, type, number, rule, verdict, mark, iif, oif }) => ({ chain, type, number, rule, verdict, mark, iif, oif }))
  expect(lines(app, there, 'S', 'nat')).toEqual([
    { chain: 'OUTPUT', type: 'rule', number: 1, rule: '-A OUTPUT -j ISTIO_OUTPUT', verdict: 'jump ISTIO_OUTPUT', mark: 0, oif: 'eth0' },
    {
      chain: 'ISTIO_OUTPUT',
      type: 'rule',
      number: 4,
      rule: '-A ISTIO_OUTPUT ! -d 127.0.0.1/32 -p tcp -m mark ! --mark 0x539/0xfff -j REDIRECT --to-ports 15001',
      verdict: 'accept',
      mark: 0,
      oif: 'eth0',
    },
  ])
  const restore = '-A ISTIO_OUTPUT -m connmark --mark 0x111/0xfff -j CONNMARK --restore-mark --nfmask 0xffffffff --ctmask 0xffffffff'
  const remember = '-A ISTIO_PRERT -m mark --mark 0x539/0xfff -j CONNMARK --set-xmark 0x111/0xfff'
  expect(lines(there, app, 'SA', 'mangle')).toContainEqual(
    expect.objectContaining({ chain: 'ISTIO_PRERT', rule: remember, verdict: 'continue', mark: 0x539, iif: 'lo' }),
  )
  // The mark is the one after the rule, as with nf_tables.
  const data = lines(app, there, 'AP', 'mangle')
  expect(data).toContainEqual(expect.objectContaining({ chain: 'ISTIO_OUTPUT', rule: restore, verdict: 'continue', mark: 0x111 }))
  expect(data.find(({ type }) => type === 'policy')).toMatchObject({ chain: 'OUTPUT', verdict: 'accept', mark: 0x111 })
  expect(legacy.filter(({ from, verdict }) => from === '' || verdict === 'unknown')).toEqual([])
  expect(at.lines<{ lost: number }>('stats').filter(({ lost }) => lost > 0)).toEqual([])
})

test('legacy tables that come after the first watch are found by the next; namespaces without them are left alone', async () => {
  const before = loggerOf(at.client)
  await at.session.watch(at.pods)
  expect(loggerOf(at.client)).toBe(before)
  at.client.sh('iptables-legacy-restore --noflush', inPodRules)
  await at.session.watch(at.pods)
  expect(loggerOf(at.client)).toContain('nfnetlink_log')
  expect(loggerOf(at.server)).toBe(before)
  await at.session.snapshot('with')
  const port = await exchange()
  await at.session.mark('after-000001')
  await at.session.unwatch(at.pods)
  expect(loggerOf(at.client)).toBe(before)
  const found = parsed().filter((o) => o.from === `10.244.1.5:${port}` && o.backend === 'legacy')
  expect(found.map(({ rule }) => rule)).toContain(
    '-A ISTIO_OUTPUT ! -d 127.0.0.1/32 -p tcp -m mark ! --mark 0x539/0xfff -j REDIRECT --to-ports 15001',
  )
  expect(parsed().filter((o) => o.netns === 'demo.server' && o.backend === 'legacy')).toEqual([])
})

test('a reader that has nflog group 0 already is told', async () => {
  at.client.sh('iptables-legacy-restore --noflush', inPodRules)
  await at.session.watch(at.pods)
  const other = at.start()
  try {
    await expect(other.watch(at.pods)).rejects.toThrow(/demo\.client: .*nflog group 0.*reader already/)
  } finally {
    await other.stop()
  }
})
