import { fstatSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { memoryLog } from '../testing/namespace.ts'
import { NodeProxies } from './node-proxy.ts'
import { PodStore, podFromApi } from './pods.ts'

let pods: PodStore
let joined: string[]
let fail: boolean
let held: Promise<void> | undefined
let dir: string
let log: ReturnType<typeof memoryLog>
let proxies: NodeProxies
const onActive = vi.fn()

beforeEach(() => {
  pods = new PodStore()
  joined = []
  fail = false
  held = undefined
  dir = mkdtempSync(join(tmpdir(), 'everyhop-node-proxy-'))
  log = memoryLog()
  onActive.mockReset()
  proxies = new NodeProxies({
    pods,
    systemNamespace: 'istio-system',
    findNamespace: async () => {
      const fd = openSync('/proc/self/ns/net', 'r')
      const { ino, dev } = fstatSync(fd, { bigint: true })
      return { fd, ino, dev }
    },
    activate: async (proxy) => {
      joined.push(`${proxy.name} ${proxy.address}${proxy.dnsCapture ? ' dns' : ''}`)
      if (fail) throw new Error('no route')
      await held
    },
    onActive,
    configDir: dir,
    redirectMode: 'iptables',
    log,
  })
})
afterEach(async () => {
  await proxies.close()
  rmSync(dir, { recursive: true })
})

const put = (name: string, more: { created?: string; ready?: boolean; namespace?: string; dns?: boolean } = {}) =>
  pods.putPod(
    podFromApi({
      metadata: {
        uid: `uid-${name}`,
        name,
        namespace: more.namespace ?? 'istio-system',
        labels: { app: 'ztunnel' },
        creationTimestamp: more.created ?? '2023-11-01T00:00:00Z',
      },
      spec: { containers: [{ env: more.dns ? [{ name: 'ISTIO_META_DNS_CAPTURE', value: 'true' }] : [] }] },
      status: { podIP: '10.244.1.2', conditions: [{ type: 'Ready', status: more.ready === false ? 'False' : 'True' }] },
    }),
  )
const config = () => readFileSync(join(dir, 'config.json'), 'utf8')
const active = (times: number) => vi.waitFor(() => expect(onActive).toHaveBeenCalledTimes(times))

test('the newest ztunnel that is ready is joined, once; the file on the node says so, and no longer when the agent ends', async () => {
  proxies.listen()
  expect(config()).toBe('{"ztunnelReady":false,"redirectMode":"iptables"}')
  await expect(proxies.add()).rejects.toThrow('no ztunnel is ready on this node')
  put('old')
  await active(1)
  await proxies.add()
  expect(config()).toBe('{"ztunnelReady":true,"redirectMode":"iptables"}')
  put('new', { created: '2023-11-02T00:00:00Z', ready: false })
  put('new', { created: '2023-11-02T00:00:00Z', dns: true })
  await active(2)
  put('old')
  put('new', { created: '2023-11-02T00:00:00Z', dns: true })
  expect(joined).toEqual(['old 10.244.1.2', 'new 10.244.1.2 dns'])
  await proxies.close()
  expect(config()).toBe('{"ztunnelReady":false,"redirectMode":"iptables"}')
})

test('what fails is tried again until it works', async () => {
  fail = true
  proxies.listen()
  put('only')
  await vi.waitFor(() => expect(joined.length).toBeGreaterThan(2), 10_000)
  expect(config()).toContain('"ztunnelReady":false')
  fail = false
  await active(1)
  expect(log.lines.find((l) => l.startsWith('error'))).toMatch(/failed to join node and ztunnel: no route retry_ms=/)
})

test('none is ready any more: nothing is undone; the one that comes back is joined again', async () => {
  proxies.listen()
  put('only')
  await active(1)
  put('only', { ready: false })
  await vi.waitFor(() => expect(config()).toContain('"ztunnelReady":false'), 10_000)
  await expect(proxies.add()).rejects.toThrow('no ztunnel is ready')
  put('only')
  await active(2)
  expect(joined).toHaveLength(2)
})

test('an uninstall while ztunnel is being joined waits for that, and the file is gone after it', async () => {
  const holding = Promise.withResolvers<void>()
  held = holding.promise
  proxies.listen()
  put('only')
  await vi.waitFor(() => expect(joined).toHaveLength(1))
  const closed = proxies.close(true)
  holding.resolve()
  await closed
  expect(readdirSync(dir)).toEqual([])
})

test("a stranger's pod that is labelled as ztunnel is none", async () => {
  proxies.listen()
  put('stranger', { namespace: 'demo', created: '2024-01-01T00:00:00Z' })
  put('own')
  await active(1)
  expect(joined).toEqual(['own 10.244.1.2'])
})
