import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { Bed, echo, exchange, type Pod } from './testbed/network.ts'
import { Ztunnel } from './testbed/ztunnel.ts'

const workload = (pod: Pod, protocol: string, extra = '') => `
  - uid: Kubernetes//Pod/demo/${pod.name}
    name: ${pod.name}
    namespace: demo
    serviceAccount: ${pod.name}
    workloadIps: [${pod.ip}]
    protocol: ${protocol}
    node: node-1
    workloadType: pod
    workloadName: ${pod.name}
    canonicalName: ${pod.name}
    canonicalRevision: latest
${extra}`

let bed: Bed
let zt: Ztunnel
let client: Pod
let server: Pod
let plain: Pod
let own: Pod

const httpbin = '    services: { demo/httpbin.demo.svc.cluster.local: { 80: 8080 } }\n'
function state(policies = ''): string {
  return `workloads:${workload(client, 'HBONE')}${workload(server, 'HBONE', httpbin)}${workload(plain, 'TCP')}
services:
  - name: httpbin
    namespace: demo
    hostname: httpbin.demo.svc.cluster.local
    vips: [/10.96.0.80]
    ports: { 80: 8080 }
  - name: heads
    namespace: demo
    hostname: heads.demo.svc.cluster.local
    vips: []
    ports: { 80: 8080 }
${policies}`
}

beforeAll(async () => {
  bed = new Bed()
  client = bed.pod('client', '10.77.0.2', true)
  server = bed.pod('server', '10.77.0.3', true)
  plain = bed.pod('plain', '10.77.0.4', false)
  own = bed.pod('zt', '10.77.0.9', false)
  zt = new Ztunnel()
  await zt.start(state(), { bed, pod: own })
  const agent = await zt.agent()
  expect(await agent.hello).toBe(1)
  expect(await agent.add(client, 'client')).toBeUndefined()
  expect(await agent.add(server, 'server')).toBeUndefined()
  expect(await agent.send({ snapshotSent: {} })).toBeUndefined()
  await bed.serve(server, 8080, echo)
  await bed.serve(plain, 8080, echo)
}, 30_000)

afterEach((context) => {
  if (context.task.result?.state === 'fail') console.error(zt.lines.join('\n'))
})

afterAll(async () => {
  await zt.close()
  bed.close()
})

test('mesh to mesh goes through HBONE and keeps the source', async () => {
  const from = zt.lines.length
  expect(await exchange(bed.dial(client, server.ip, 8080), 'hello')).toBe('10.77.0.2 hello')
  const outbound = await zt.line(/direction="outbound"/, from)
  const inbound = await zt.line(/direction="inbound"/, from)
  console.log(outbound, inbound)
})
