import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { interfaces, observations, openBundle, packets } from '../bundle.ts'
import { TestNode } from './test-node.ts'

let at: TestNode
beforeEach(async () => {
  at = await TestNode.create()
})
afterEach(() => at[Symbol.asyncDispose]())

const manifest = { schema: 1, run: 'r', provider: 'lab', mode: 'iptables', release: '1.20', startedAt: 0, endedAt: 1, environment: {} }
/** What was written until now. */
function bundle() {
  writeFileSync(join(at.bundle, 'bundle.json'), JSON.stringify(manifest))
  return openBundle(at.bundle)
}

const tunnels = [
  { node: 'istioin', proxy: 'pistioin', vni: 1000, net: '192.168.126', port: 6081 },
  { node: 'istioout', proxy: 'pistioout', vni: 1001, net: '192.168.127', port: 6082 },
]

function hasGeneve(): boolean {
  try {
    at.client.sh('ip link add probe type geneve id 1 remote 10.244.1.6; ip link del probe')
    return true
  } catch {
    return false
  }
}

/** The kernel's GENEVE; without it VXLAN, whose header is rewritten to GENEVE's on its way out and back on its way in, as a node's agent does it. @param rewritten false: VXLAN as it is @returns which */
function makeTunnels(rewritten = true): string {
  const ends = [
    { netns: at.client, side: 'node', last: 1, remote: '10.244.1.6' },
    { netns: at.server, side: 'proxy', last: 2, remote: '10.244.1.5' },
  ] as const
  const kind = rewritten && hasGeneve() ? 'geneve' : 'vxlan'
  for (const { netns, side, last, remote } of ends) {
    if (kind === 'vxlan' && rewritten) {
      const rewrite = (from: string, to: string) =>
        tunnels.map((t) => `udp dport ${t.port} @th,64,32 ${from} @th,64,32 set ${to}\n`).join('')
      const hook = (name: string, rules: string) => `chain ${name} {\ntype filter hook ${name} priority raw;\n${rules}}\n`
      const rules = hook('output', rewrite('0x08000000', '0x00006558')) + hook('prerouting', rewrite('0x00006558', '0x08000000'))
      netns.sh('nft -f -', `table ip rewriting {\n${rules}}\n`)
    }
    for (const { vni, port, net, ...devices } of tunnels) {
      const options = kind === 'vxlan' ? ' nolearning noudpcsum' : ''
      netns.sh(`ip link add ${devices[side]} type ${kind} id ${vni} remote ${remote} dstport ${port}${options}
        ip addr add ${net}.${last}/30 dev ${devices[side]}; ip link set ${devices[side]} mtu 1450 up`)
    }
  }
  return kind
}

async function exchange(): Promise<number> {
  await at.server.listen('0.0.0.0', 8080, (socket) => socket.on('data', (data) => socket.end(data)))
  const socket = await at.client.connect('192.168.127.2', 8080)
  const port = socket.localPort!
  const closed = new Promise((done) => socket.on('close', done))
  socket.resume()
  socket.write('ping')
  await closed
  return port
}

test('tunnels that are made while the namespaces are watched: each packet at their devices, and inside the datagrams between', async () => {
  await at.session.watch(at.pods)
  const kind = makeTunnels()
  await at.session.mark('before-00001')
  const port = await exchange()
  await at.session.mark('after-000001')
  const saved = bundle()
  const flow = { from: `192.168.127.1:${port}`, to: '192.168.127.2:8080' }
  const seen = packets(saved, 'n1')
  for (const flags of ['S', 'AP']) {
    const went = seen.flatMap((p) => {
      const frame = p.tunnel ?? p
      const fits = frame.from === flow.from && frame.to === flow.to && frame.flags === flags
      const inside = p.tunnel ? ` ${p.tunnel.header} ${p.tunnel.vni} ${p.from.replace(/:.*/, '')} ${p.to}` : ''
      return fits ? [`${p.netns} ${p.dev} ${p.direction}${inside}`] : []
    })
    // On the wire it is GENEVE, whichever device carries it.
    expect(went).toEqual(
      expect.arrayContaining([
        'demo.client istioout out',
        'demo.client eth0 out geneve 1001 10.244.1.5 10.244.1.6:6082',
        'demo.server eth0 in geneve 1001 10.244.1.5 10.244.1.6:6082',
        'demo.server pistioout in',
      ]),
    )
    expect(went).toHaveLength(4)
  }
  const [data] = seen.filter((p) => p.tunnel?.flags === 'AP' && p.tunnel.to === flow.to)
  expect(Buffer.from(data!.tunnel!.payload).toString()).toBe('ping')
  // What a device is says whether the kernel's own GENEVE was there.
  const links = interfaces(saved, 'n1').filter((l) => l.dev.includes('istio'))
  expect(new Set(links.map((l) => `${l.dev} ${l.kind}`))).toEqual(
    new Set(tunnels.flatMap((t) => [`${t.node} ${kind}`, `${t.proxy} ${kind}`])),
  )
  // Every datagram is traced, though all have one source port.
  const datagrams = seen.filter((p) => p.netns === 'demo.client' && p.direction === 'out' && p.tunnel?.from === flow.from)
  const traced = observations(saved).filter((o) => o.kind === 'trace' && o.netns === 'demo.client' && o.from === datagrams[0]!.from)
  const walks = traced.filter((o) => o.kind === 'trace' && o.table === 'everyhop' && o.chain === 'output' && o.type === 'policy')
  expect(datagrams.length).toBeGreaterThan(2)
  expect(walks).toHaveLength(datagrams.length)
})

test('a header that nobody rewrites is told as what it is', async () => {
  makeTunnels(false)
  await at.session.watch(at.pods)
  await exchange()
  await at.session.mark('after-000001')
  const headers = packets(bundle(), 'n1').flatMap((p) => (p.tunnel?.to.startsWith('192.168.127.') ? [p.tunnel.header] : []))
  expect(new Set(headers)).toEqual(new Set(['vxlan']))
})
