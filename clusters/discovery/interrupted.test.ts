import { connect, createServer, type Socket } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { typeUrls } from '../../images/lib/xds/messages.ts'
import { resources } from '../lab/apiserver/store.ts'
import { type Program, startTestMesh, type TestMesh } from './testing.ts'
import { TestClient, type TestStream } from './testing-client.ts'

/** A wire to the API server that can be cut, and refuses to be mended for a while. */
class Wire {
  readonly #sockets = new Set<Socket>()
  #cut = false
  readonly #server = createServer((socket) => {
    if (this.#cut) return void socket.destroy()
    const far = connect(this.port, '127.0.0.1')
    for (const [one, other] of [
      [socket, far],
      [far, socket],
    ] as const) {
      this.#sockets.add(one)
      one.pipe(other)
      one.on('error', () => {})
      one.on('close', () => {
        other.destroy()
        this.#sockets.delete(one)
      })
    }
  })
  readonly port: number
  constructor(port: number) {
    this.port = port
  }
  async listen(): Promise<number> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve))
    return (this.#server.address() as { port: number }).port
  }
  cut(): void {
    this.#cut = true
    for (const socket of this.#sockets) socket.destroy()
  }
  mend(): void {
    this.#cut = false
  }
  close(): void {
    this.cut()
    this.#server.close()
  }
}

let mesh: TestMesh
let wire: Wire
let program: Program
let client: TestClient
let stream: TestStream
const pod = (name: string, ip: string) => mesh.pod(name, { namespace: 'demo', node: 'one', ip })
const remove = (name: string) => mesh.api.store.delete(resources.pods, { namespace: 'demo', name }, { gracePeriodSeconds: 0 })
const uid = (name: string) => `Kubernetes//Pod/demo/${name}`
const has = () => [...stream.has.address.keys()].filter((name) => name.startsWith(uid(''))).sort()

beforeAll(async () => {
  mesh = await startTestMesh({ historySize: 30 })
  mesh.namespace('demo')
  mesh.pod('ztunnel-one', { namespace: 'istio-system', node: 'one', ip: '10.0.0.1', account: 'ztunnel' })
  wire = new Wire(mesh.api.ports[0]!)
  program = await mesh.start({ KUBERNETES_SERVICE_PORT: String(await wire.listen()) })
  client = new TestClient(program.port, mesh.rootPem(), mesh.token({ name: 'ztunnel-one', namespace: 'istio-system', account: 'ztunnel' }))
  stream = client.open()
  stream.subscribe()
  await stream.begun()
  pod('stays', '10.0.1.1')
  pod('goes', '10.0.1.2')
  await stream.until(() => has().length === 2)
})
afterAll(async () => {
  client?.close()
  wire?.close()
  await mesh?.[Symbol.asyncDispose]()
})

test('what happens while the API server is away is told when it is back, once', { timeout: 30_000 }, async () => {
  wire.cut()
  await program.line(/a watch broke and is begun again/)
  stream.responses.length = 0
  remove('goes')
  pod('comes', '10.0.1.3')
  wire.mend()
  await stream.until(() => has().join() === [uid('comes'), uid('stays')].join())
  const names = stream.responses
    .filter((r) => r.typeUrl === typeUrls.address)
    .flatMap((r) => [...r.resources.map((x) => x.name), ...r.removedResources])
  expect(names.filter((name) => name === uid('stays'))).toEqual([])
  expect(names).toContain(uid('goes'))
})

test('also when that was too much for the API server to remember', { timeout: 30_000 }, async () => {
  wire.cut()
  remove('comes')
  for (let i = 0; i < 40; i++)
    mesh.api.store.patch(resources.pods, { namespace: 'demo', name: 'stays' }, { metadata: { labels: { i: `${i}` } } })
  pod('last', '10.0.1.4')
  stream.responses.length = 0
  wire.mend()
  await stream.until(() => has().join() === [uid('last'), uid('stays')].join())
  // A label that no resource shows: it was listed anew, and not sent.
  expect(stream.responses.flatMap((r) => r.resources.map((x) => x.name))).not.toContain(uid('stays'))
})

test('clients are served while the API server is away, from what was known', async () => {
  wire.cut()
  expect(stream.error).toBeUndefined()
  const response = await fetch(`http://127.0.0.1:${program.healthPort}/ready`)
  expect([response.status, await response.text()]).toEqual([200, 'ok\n'])
  expect((await fetch(`http://127.0.0.1:${program.healthPort}/other`)).status).toBe(404)
  wire.mend()
})
