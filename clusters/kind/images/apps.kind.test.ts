import { afterAll, beforeAll, expect, test } from 'vitest'
import { startApp } from './testing/app.ts'
import { DockerImages } from './testing/docker-images.ts'

let images: DockerImages
beforeAll(async () => {
  images = await DockerImages.load()
})
afterAll(() => images?.[Symbol.asyncDispose]())

test('sleep does requests when it is told to, and httpbin answers with what it saw: without root, capabilities or a writable file', async () => {
  const [client, server] = await Promise.all([startApp(images, 'sleep'), startApp(images, 'httpbin')])
  const request = { protocol: 'http', host: server.address, port: 8080, body: 'a token' }
  const result = await client.ask(request)
  expect(result).toMatchObject({ id: '1', ok: true, status: 200, remoteAddress: server.address })
  expect(JSON.parse(result.body as string)).toMatchObject({ body: 'a token' })
  for (const [protocol, port] of [
    ['http2', 8081],
    ['tcp', 9000],
    ['udp', 9001],
  ])
    expect(await client.ask({ ...request, protocol, port })).toMatchObject({ ok: true })
  // Nobody listens there: an answer too.
  expect(await client.ask({ ...request, port: 1 })).toMatchObject({ ok: false, error: { code: 'ECONNREFUSED', phase: 'connect' } })
  for (const { container } of [client, server]) {
    const { output } = await container.exec(['/usr/local/bin/node', '-p', 'require("fs").readFileSync("/proc/1/status", "utf8")'])
    expect(output).toMatch(/^Uid:\t65532\t65532\t65532\t65532$/m)
    expect(output).toMatch(/^CapEff:\t0000000000000000$/m)
    const write = await container.exec(['/usr/local/bin/node', '-e', 'require("fs").writeFileSync("/app/x", "")'])
    expect(write.output).toMatch(/EROFS/)
  }
})
