import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { generateCa } from '../lib/ca.ts'
import { typeUrls, type WorkloadInit } from '../lib/xds/messages.ts'
import { ControlPlane, signed, workloadResource } from './testbed/control-plane.ts'
import { Bed, echo, exchange, type Pod } from './testbed/network.ts'
import { Ztunnel } from './testbed/ztunnel.ts'

// The real process with certificates that live for four seconds.
const life = 4000
const names = ['client', 'server', 'later'] as const
let bed: Bed
let zt: Ztunnel
let plane: ControlPlane
let own: Pod
const pods = new Map<string, Pod>()
let issued = 0

beforeAll(async () => {
  bed = new Bed()
  own = bed.pod('own', '10.81.0.9', false)
  zt = new Ztunnel()
  plane = new ControlPlane(await generateCa(), join(zt.dir, 'plane'))
  plane.sign = async ({ csr, metadata }) => {
    issued++
    const { certificatePem } = await signed(plane.files, { publicKeyPem: csr, uri: String(metadata?.ImpersonatedIdentity), ttl: life })
    return [certificatePem, plane.files['root-cert.pem']]
  }
  const istiod = bed.pod('istiod', '10.81.0.8', false)
  await plane.start({ accept: (take) => void bed.serve(istiod, 15012, take) })
  const env = { ...plane.envFor(`https://${istiod.ip}:15012`), ALT_XDS_HOSTNAME: 'localhost', ALT_CA_HOSTNAME: 'localhost' }
  await zt.start('', { bed, pod: own, env })
  const agent = await zt.agent()
  const workloads = names.map((name, i): WorkloadInit & { uid: string } => ({
    ...{ uid: `Kubernetes//Pod/demo/${name}`, name, namespace: 'demo', serviceAccount: name },
    ...{ addresses: [Uint8Array.of(10, 81, 0, i + 2)], tunnelProtocol: 'HBONE', node: 'node-1', clusterId: 'Kubernetes' },
  }))
  for (const [i, name] of names.entries()) {
    pods.set(name, bed.pod(name, `10.81.0.${i + 2}`, true))
    expect(await agent.add(pods.get(name)!, name)).toBeUndefined()
  }
  expect(await agent.send({ snapshotSent: {} })).toBeUndefined()
  await bed.serve(pods.get('server')!, 8080, echo)
  const stream = await plane.stream()
  await stream.push({ typeUrl: typeUrls.address, resources: workloads.map((w) => workloadResource(w)) })
  await stream.push({ typeUrl: typeUrls.authorization })
}, 30_000)
afterEach((context) => {
  if (context.task.result?.state === 'fail') console.error(zt.lines.slice(-12).join('\n'))
})
afterAll(async () => {
  await zt.close()
  plane.stop()
  bed.close()
})

interface Held {
  readonly identity: string
  readonly certChain: readonly { serialNumber: string; expirationTime: string }[]
}
const held = (name: string) => {
  const dump = JSON.parse(bed.run(own, 'curl -s http://127.0.0.1:15000/config_dump')) as { certificates: Held[] }
  return dump.certificates.find((c) => c.identity.endsWith(`/${name}`))!.certChain[0]!
}
const call = (name: string, text: string) => exchange(bed.dial(pods.get(name)!, pods.get('server')!.ip, 8080), text)

test('certificates are replaced before they end: no request is refused meanwhile, what stands goes on, new peers find valid ones', async () => {
  const live = bed.dial(pods.get('client')!, pods.get('server')!.ip, 8080)
  await new Promise((resolve) => live.once('data', resolve))
  const first = held('server')
  const serials = new Set<string>()
  let requests = 0
  // Three lives long: each certificate that is in use was replaced at least twice.
  for (const end = Date.now() + 3 * life; Date.now() < end; requests++) {
    expect(await call('client', `${requests}`)).toBe(`${pods.get('client')!.ip} ${requests}`)
    if (requests % 20 > 0) continue
    const { serialNumber, expirationTime } = held('server')
    serials.add(serialNumber)
    expect(Date.parse(expirationTime)).toBeGreaterThan(Date.now())
  }
  expect(requests).toBeGreaterThan(50)
  expect(serials.size).toBeGreaterThanOrEqual(4)
  expect(Date.parse(first.expirationTime)).toBeLessThan(Date.now())
  // Its first tunnel: both sides show certificates that were not there at the beginning.
  expect(await call('later', 'late')).toBe(`${pods.get('later')!.ip} late`)
  expect(await exchange(live, 'live')).toBe('live')
  // At half of what is left, so about every two seconds each.
  expect(issued).toBeLessThan(names.length * 16)
}, 30_000)
