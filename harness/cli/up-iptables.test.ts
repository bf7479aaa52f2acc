import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { HostSnapshot } from '../../clusters/audit.ts'
import { Command } from '../run/main-job/command.ts'
import { StandInHost } from '../run/main-job/stand-in-host.ts'

describe.skipIf(process.getuid?.() !== 0)('a cluster in mode iptables (needs root)', () => {
  const host = new StandInHost()
  let before: HostSnapshot
  const everyhop = (...args: string[]) => new Command(host, args).ended
  const inside = async (place: string, command: string) => {
    const { code, stdout, stderr } = await everyhop('shell', place, '--', 'sh', '-c', command)
    expect(code, stderr).toBe(0)
    return stdout
  }
  /** Of node `one`: packets that rules of the mode have met, by rule, and frames that the tunnel to ztunnel has sent. */
  const counted = async () => {
    const text = await inside('one', 'iptables-nft-save -c -t mangle; cat /sys/class/net/istioout/statistics/tx_packets')
    const rules = [...text.matchAll(/^\[(\d+):\d+\] -A ztunnel-PREROUTING (.*)$/gm)]
    const met = (rule: RegExp) => rules.filter(([, , words]) => rule.test(words!)).reduce((sum, [, count]) => sum + Number(count), 0)
    return {
      captured: met(/--match-set ztunnel-pods-ips src .*0x100/),
      beside: met(/--mark 0x210.*0x40/),
      tunnelled: Number(text.trim().split('\n').at(-1)),
    }
  }
  const mode = ['--mode', 'iptables']

  beforeAll(async () => {
    await host.start()
    before = await host.snapshot()
    const up = await everyhop('up', ...mode)
    if (up.code !== 0) throw new Error(up.stderr)
    expect(up.stdout).toMatch(/^cluster default stands after [\d.]+ s: mode iptables, release 1\.20, topology two-nodes\n/)
    host.owners()
  }, 240_000)
  afterAll(async () => {
    await everyhop('down', '--all')
    await host[Symbol.asyncDispose]()
  })

  test.for([
    ['another node', 'httpbin-two-a'],
    ['the same node', 'httpbin-one-a'],
  ] as const)('a request of sleep to httpbin on %s is served by way of a tunnel to ztunnel', async ([, server]) => {
    const before = await counted()
    const answer = await inside('sleep-one-a', `curl -sS -m 10 -o /dev/null -w '%{http_code}' http://${server}.demo/anything`)
    expect(answer).toBe('200')
    const after = await counted()
    // Its first packet is marked for the tunnel and goes through it; all that follow go beside it, by the mark of their connection.
    for (const what of ['captured', 'tunnelled', 'beside'] as const) expect(after[what], what).toBeGreaterThan(before[what])
  })

  test('nothing of the mode is in a pod; on the node is all of it, and the file for the plugin says that ztunnel is ready', async () => {
    expect(await inside('sleep-one-a', 'iptables-nft-save; iptables-legacy-save; ip rule; ip -br link')).not.toMatch(/ztunnel|istio|fwmark/)
    const node = await inside('one', 'cat /etc/ambient-config/config.json; echo; ip rule')
    expect(node).toContain('{"ztunnelReady":true,"redirectMode":"iptables"}\n')
    expect(node).toContain('103:\tfrom all lookup 100')
  })

  test('it stands already for who asks for its mode, and is another one for who asks for the usual', async () => {
    expect((await everyhop('up', ...mode)).stdout).toMatch(/^cluster default stands already: mode iptables, release 1\.20/)
    expect(await everyhop('up')).toMatchObject({ code: 2, stdout: '' })
  })

  test('`down` leaves nothing of it', async () => {
    expect(await everyhop('down')).toMatchObject({ code: 0, stderr: '' })
    expect(await host.left(before)).toEqual([])
  })
})
