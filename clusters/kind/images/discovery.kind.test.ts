import { X509Certificate } from 'node:crypto'
import { chmodSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type StartedTestContainer, Wait } from 'testcontainers'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { published } from '../../discovery/testing.ts'
import { makeCsr, TestClient } from '../../discovery/testing-client.ts'
import type { ApiServer } from '../../lab/apiserver/server.ts'
import { resources } from '../../lab/apiserver/store.ts'
import { apiPort, meshApi } from './testing/api.ts'
import { DockerImages } from './testing/docker-images.ts'

let images: DockerImages
let api: ApiServer
let network: StartedTestContainer
let discovery: StartedTestContainer
let grpc: number
beforeAll(async () => {
  images = await DockerImages.load()
  // Whose network it shares: an API server of ours listens there, before the control plane starts.
  network = await images
    .container('sleep')
    .withNetworkMode('none')
    .withTmpFs({ '/var/run/everyhop': 'mode=1777' })
    .withWaitStrategy(Wait.forLogMessage(/listening/))
    .start()
  api = await meshApi(images, network)
  api.store.create(resources.namespaces, { metadata: { name: 'demo' } })
  pod('istio-system', 'ztunnel')
  pod('demo', 'sleep')
  const account = images.folder('account')
  chmodSync(account, 0o755)
  writeFileSync(join(account, 'ca.crt'), api.caPem)
  writeFileSync(join(account, 'token'), api.tokens.issue({ namespace: 'istio-system', name: 'istiod' }).token)
  discovery = await images
    .container('discovery')
    .withNetworkMode(`container:${network.getId()}`)
    .withBindMounts([{ source: account, target: '/var/run/secrets/kubernetes.io/serviceaccount', mode: 'ro' }])
    .withEnvironment({ KUBERNETES_SERVICE_HOST: '127.0.0.1', KUBERNETES_SERVICE_PORT: `${apiPort}`, POD_NAMESPACE: 'istio-system' })
    .withWaitStrategy(Wait.forLogMessage(/\tready\t/))
    .start()
  await published(api.store, 'istio-system')
  grpc = await images.relay(network, 15012)
})
afterAll(async () => {
  await api?.close()
  await images?.[Symbol.asyncDispose]()
})

function pod(namespace: string, name: string): void {
  if (namespace === 'demo') api.store.create(resources.serviceaccounts, { metadata: { name, namespace } })
  const spec = { nodeName: 'one', serviceAccountName: name, containers: [{ name: 'c', image: 'i' }] }
  api.store.create(resources.pods, { metadata: { name, namespace }, spec })
  const status = { phase: 'Running', podIP: '10.0.0.1', podIPs: [{ ip: '10.0.0.1' }], conditions: [{ type: 'Ready', status: 'True' }] }
  api.store.patch(resources.pods, { name, namespace }, { status }, { subresource: 'status' })
}

function client(namespace: string, name: string): TestClient {
  const { data } = api.store.get(resources.configmaps, { namespace: 'istio-system', name: 'istio-ca-root-cert' }) as {
    data?: Record<string, string>
  }
  const uid = api.store.get(resources.pods, { namespace, name }).metadata.uid!
  const { token } = api.tokens.issue({ namespace, name }, { audiences: ['istio-ca'], boundObjectRef: { kind: 'Pod', name, uid } })
  return new TestClient(grpc, data?.['root-cert.pem'] ?? '', token)
}

const identity = 'spiffe://cluster.local/ns/demo/sa/sleep'

test("the control plane's image signs for a pod of the proxy's node, and refuses a request that is none or names another", async () => {
  const proxy = client('istio-system', 'ztunnel')
  try {
    const metadata = { ImpersonatedIdentity: identity }
    const good = await makeCsr(identity)
    const { certChain } = await proxy.sign({ csr: good.pem, validityDuration: 3600, metadata })
    expect(new X509Certificate(certChain[0]!).subjectAltName).toBe(`URI:${identity}`)
    await expect(proxy.sign({ csr: 'no request', metadata })).rejects.toThrow(/3 INVALID_ARGUMENT/)
    const other = await makeCsr(identity.replace('sleep', 'other'))
    await expect(proxy.sign({ csr: other.pem, validityDuration: 3600, metadata })).rejects.toThrow(/3 INVALID_ARGUMENT: the request names/)
    // The last byte is the signature's.
    const bytes = Buffer.from(good.pem.replace(/-----.*-----/g, ''), 'base64')
    bytes[bytes.length - 1]! ^= 1
    const spoiled = `-----BEGIN CERTIFICATE REQUEST-----\n${bytes.toString('base64')}\n-----END CERTIFICATE REQUEST-----\n`
    await expect(proxy.sign({ csr: spoiled, validityDuration: 3600, metadata })).rejects.toThrow(/3 INVALID_ARGUMENT/)
  } finally {
    proxy.close()
  }
  const plain = client('demo', 'sleep')
  try {
    const { pem } = await makeCsr(identity)
    await expect(plain.sign({ csr: pem, metadata: { ImpersonatedIdentity: 'spiffe://cluster.local/ns/demo/sa/other' } })).rejects.toThrow(
      /16 UNAUTHENTICATED/,
    )
  } finally {
    plain.close()
  }
})

test('it runs as somebody without rights, and says that it is ready to whoever probes it', async () => {
  const { output } = await discovery.exec(['/usr/local/bin/node', '-p', 'require("fs").readFileSync("/proc/1/status", "utf8")'])
  expect(output).toMatch(/^Uid:\t1337\t1337\t1337\t1337$/m)
  expect(output).toMatch(/^CapEff:\t0000000000000000$/m)
  const answer = await fetch(`http://127.0.0.1:${await images.relay(network, 8080)}/ready`)
  expect(answer.status).toBe(200)
})
