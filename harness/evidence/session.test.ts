import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { AF_INET, SOCK_STREAM } from '../../images/lib/libc.ts'
import { socketInNetns } from '../../images/lib/netns.ts'
import { TestNode } from './collect/test-node.ts'
import { inPodRules } from './collect/testbed.ts'
import type { Trace } from './collect/traces.ts'
import { CollectorError } from './session.ts'

let at: TestNode
beforeEach(async () => {
  at = await TestNode.create()
})
afterEach(() => at[Symbol.asyncDispose]())

test('a marker is in the packets and traces of every namespace when mark() resolves; a dead stream is named', async () => {
  await at.session.watch(at.pods)
  await at.session.mark('marker-00001')
  const payloads = at
    .tshark('frame.interface_name', 'udp.payload')
    .filter(([, payload]) => payload === Buffer.from('marker-00001').toString('hex'))
  expect(new Set(payloads.map(([dev]) => dev))).toEqual(new Set(['n1/node/lo', 'n1/demo.client/lo', 'n1/demo.server/lo']))
  const traced = at.lines<Trace & { netns: string }>('traces').filter(({ th }) => th?.endsWith(Buffer.from('marker-00001').toString('hex')))
  expect(new Set(traced.map(({ netns }) => netns))).toEqual(new Set(['node', 'demo.client', 'demo.server']))

  await expect(at.session.mark('too-short')).rejects.toThrow('marker "too-short": must be exactly 12')
  at.server.sh('nft delete table ip everyhop')
  await expect(at.session.mark('marker-00002')).rejects.toThrow(
    'demo.server: marker marker-00002 did not come out of traces within 2000 ms',
  )
  // Watched again from the start, it lives.
  await at.session.unwatch([at.pods[1]])
  await at.session.watch(at.pods)
  await at.session.mark('marker-00003')
})

test('interfaces that appear are named before their first packet; a pod that is not here is named; watch may be called again', async () => {
  await at.session.watch([at.pods[0]])
  const ghost = { namespace: 'demo', name: 'ghost', uid: '6f1c7a52-0000-4000-8000-000000000000' }
  await expect(at.session.watch([ghost])).rejects.toThrow(
    'no process of demo.ghost (uid 6f1c7a52-0000-4000-8000-000000000000) on this node',
  )
  expect(await at.session.watch([])).toEqual(['node', 'demo.client'])
  at.netns.join('veth1234', '10.9.0.1', at.server, 'eth1', '10.9.0.2')
  await expect(at.server.connect('10.9.0.1', 5)).rejects.toThrow('ECONNREFUSED')
  await at.session.mark('marker-00001')
  const seen = at.tshark('frame.interface_name', 'frame.packet_flags_direction', 'ip.src', 'tcp.dstport')
  expect(seen).toContainEqual(['n1/node/veth1234', '0x00000001', '10.9.0.2', '5'])
  const peerIndex = JSON.parse(at.server.sh('ip -j link show eth1'))[0].ifindex
  expect(at.lines('interfaces')).toContainEqual(
    expect.objectContaining({ netns: 'node', dev: 'veth1234', peerIndex, addresses: expect.arrayContaining(['10.9.0.1']) }),
  )
})

test('a collector that is killed rejects what waits, and leaves files that can be read', async () => {
  await at.session.watch(at.pods)
  await at.server.listen('10.244.1.6', 8080, (socket) => socket.on('data', () => socket.end('pong')))
  await at.exchange('first')
  await at.session.mark('marker-00001')
  void at.exchange('second').catch(() => {})
  const waiting = at.session
    .request({ id: 'r1', protocol: 'tcp', host: '127.0.0.1', port: 1, body: '', timeoutMs: 1000 }, { uid: 'none' })
    .catch(() => {})
  process.kill(at.collectorPid, 'SIGKILL')
  await expect(at.session.mark('marker-00002')).rejects.toThrow(/collector on node n1: mark: ended \(SIGKILL\)/)
  await waiting
  await at.session.ended
  await expect(at.session.snapshot('late')).rejects.toThrow(CollectorError)
  await at.session.stop()
  expect(at.tshark('tcp.payload').flat()).toContain(Buffer.from('first').toString('hex'))
  expect(at.lines('traces').length).toBeGreaterThan(0)
  // Its rules are still there: the next collector replaces them.
  at.start()
  await at.session.watch(at.pods)
  await at.session.mark('marker-00003')
  expect(at.client.sh('nft list chain ip everyhop prerouting').match(/jump select/g)).toHaveLength(1)
})

test('stop takes the own tables away, and nothing else', async () => {
  at.client.sh('iptables-restore --noflush', inPodRules)
  const before = at.client.sh('nft list ruleset')
  await at.session.watch(at.pods)
  expect(at.client.sh('nft list ruleset')).not.toBe(before)
  await at.session.stop()
  await at.session.stop()
  expect(at.client.sh('nft list ruleset')).toBe(before)
  expect(at.server.sh('nft list ruleset')).toBe('')
})

test("a snapshot has the dumps of every namespace and ztunnel's configuration as it gave it", async () => {
  at.client.sh('iptables-restore --noflush', inPodRules)
  await at.client.listen('10.244.1.5', 15008, () => {}, 0x539)
  const admin = createServer((request, response) => response.end(request.url === '/config_dump' ? '{ "workloads":  [] }' : 'no'))
  const fd = socketInNetns(at.client.fd, AF_INET, SOCK_STREAM, { bind: { address: '127.0.0.1', port: 15000 } })
  await new Promise<void>((done) => admin.listen({ fd }, done))
  await at.session.watch([{ ...at.pods[0], role: 'ztunnel' }, at.pods[1]])
  await at.session.snapshot('batch-1')
  at.client.sh('sysctl -qw net.ipv4.conf.eth0.rp_filter=2')
  await at.session.snapshot('batch-2')
  await new Promise((done) => admin.close(done))
  const read = (file: string) => readFileSync(join(at.bundle, 'snapshots/batch-1/n1', file), 'utf8')
  const rules = (text: string) =>
    text
      .split('\n')
      .filter((line) => line.includes('-A '))
      .map((line) => line.replace(/^\[\d+:\d+\] /, ''))
  expect(rules(read('demo.client/iptables-save.txt'))).toEqual(rules(at.client.sh('iptables-save')))
  expect(read('demo.client/iptables-save.txt')).toMatch(/^\[\d+:\d+\] -A PREROUTING -j ISTIO_PRERT$/m)
  expect(read('demo.client/links.txt')).toMatch(/^\d+: eth0 veth mtu 1500 mac [0-9a-f:]{17} peer \d+ 10\.244\.1\.5 fe80::\S+$/m)
  expect(read('demo.client/links.txt')).toMatch(/^1: lo - mtu 65536 /m)
  const settings = (label: string) => readFileSync(join(at.bundle, `snapshots/${label}/n1/demo.client/settings.txt`), 'utf8')
  expect(settings('batch-2')).toBe(settings('batch-1').replace(/(net\.ipv4\.conf\.eth0\.rp_filter) = \d/, '$1 = 2'))
  expect(settings('batch-2')).not.toBe(settings('batch-1'))
  expect(read('demo.client/ip-rule.txt')).toBe(at.client.sh('ip rule'))
  expect(read('demo.server/ip-route.txt')).toBe(at.server.sh('ip -4 route show table all'))
  expect(read('demo.client/ss.txt')).toMatch(/10\.244\.1\.5:15008 .* fwmark:0x539/)
  // Our own sockets are in no list of listeners.
  expect(read('demo.server/ss.txt')).toBe('')
  expect(JSON.parse(read('demo.client/handles.json')).ip.nat.ISTIO_OUTPUT).toHaveLength(4)
  expect(read('config-dump.json')).toBe('{ "workloads":  [] }')
  expect(read('node/ipset.txt')).toBe('')
})

test('requests come from the node itself when no pod is named', async () => {
  at.netns.join('veth1', '10.9.0.1', at.server, 'eth1', '10.9.0.2')
  await at.server.listen('10.9.0.2', 9000, (socket) => socket.pipe(socket))
  const request = { id: 'r1', protocol: 'tcp', host: '10.9.0.2', port: 9000, body: 'a token', timeoutMs: 2000 } as const
  expect(await at.session.request(request)).toMatchObject({ id: 'r1', ok: true, body: 'a token', localAddress: '10.9.0.1' })
  const refused = await at.session.request({ ...request, id: 'r2', port: 9 })
  expect(refused).toMatchObject({ id: 'r2', ok: false, error: { code: 'ECONNREFUSED', phase: 'connect' } })
  await expect(at.session.request(request, { uid: 'no-such-uid' })).rejects.toThrow('/var/lib/kubelet/pods/no-such-uid/')
})
