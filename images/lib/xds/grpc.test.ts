import { Client, credentials, Server, ServerCredentials, type ServerDuplexStream, type ServerUnaryCall } from '@grpc/grpc-js'
import { afterEach, expect, test } from 'vitest'
import { channelOptions, createCertificate, deltaAggregatedResources } from './grpc.ts'
import type { DeltaDiscoveryRequest, DeltaDiscoveryResponseInit, IstioCertificateRequest } from './messages.ts'

const server = new Server(channelOptions)
let client: Client | undefined
afterEach(() => {
  client?.close()
  server.forceShutdown()
})

test("both services work over gRPC's own transport, under upstream's paths", async () => {
  server.addService({ stream: deltaAggregatedResources, sign: createCertificate } as never, {
    stream: (call: ServerDuplexStream<DeltaDiscoveryRequest, DeltaDiscoveryResponseInit>) => {
      call.on('data', ({ typeUrl, responseNonce }: DeltaDiscoveryRequest) =>
        call.write({ typeUrl, nonce: `${responseNonce}+`, systemVersionInfo: '.'.repeat(5_000_000) }),
      )
      call.on('end', () => call.end())
    },
    sign: (call: ServerUnaryCall<IstioCertificateRequest, object>, answer: (error: null, value: object) => void) =>
      answer(null, { certChain: [call.request.csr, String(call.request.metadata?.ImpersonatedIdentity)] }),
  })
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) => (error ? reject(error) : resolve(bound))),
  )
  client = new Client(`127.0.0.1:${port}`, credentials.createInsecure(), channelOptions)

  const { path, requestSerialize, responseDeserialize } = deltaAggregatedResources
  const stream = client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize)
  stream.write({ typeUrl: 't', responseNonce: 'n' })
  stream.end()
  const answers = []
  for await (const answer of stream) answers.push(answer)
  expect(answers).toEqual([{ systemVersionInfo: '.'.repeat(5_000_000), typeUrl: 't', nonce: 'n+', resources: [], removedResources: [] }])
  expect(path).toBe('/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources')

  const { certChain } = await new Promise<{ certChain: readonly string[] }>((resolve, reject) =>
    client?.makeUnaryRequest(
      '/istio.v1.auth.IstioCertificateService/CreateCertificate',
      createCertificate.requestSerialize,
      createCertificate.responseDeserialize,
      { csr: 'CSR', metadata: { ImpersonatedIdentity: 'spiffe://x' } },
      (error, value) => (error || !value ? reject(error) : resolve(value)),
    ),
  )
  expect(certChain).toEqual(['CSR', 'spiffe://x'])
})
