import { closeSync, mkdtempSync, openSync, readdirSync, readlinkSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { listenSeqpacket } from '../lib/seqpacket.ts'
import { encodeRequest, maxMessage } from '../lib/zds.ts'
import { PodManager } from './manager.ts'
import { Metrics } from './metrics/metrics.ts'
import type { Placement } from './placement.ts'
import type { PodProxy } from './proxy.ts'
import { releaseNamed } from './release.ts'
import { Agent } from './testbed/ztunnel.ts'
import { ZdsClient } from './zds-client.ts'

// What an agent may send: any packets, with any number of descriptors.
let dir: string
let runs = 0
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'everyhop-zds-'))
})
afterAll(() => rmSync(dir, { recursive: true }))

/** A client of its own, and the agent that it came to. */
async function connected() {
  const running = new Set<string>()
  const manager = new PodManager({
    release: releaseNamed('today'),
    log: () => {},
    metrics: new Metrics(),
    drainDeadline: 1000,
    place: (netns) => ({ close: () => closeSync(netns) }) as Placement,
    start: async (info) => {
      const name = info!.name
      running.add(name)
      return { stop: () => running.delete(name), drain: async () => {} } as unknown as PodProxy
    },
  })
  const path = join(dir, String(runs++))
  const came = Promise.withResolvers<Agent>()
  // Only the first stream: a client whose stream was ended comes again soon.
  const listener = listenSeqpacket(path, maxMessage, (socket) => came.resolve(new Agent(socket)))
  const client = new ZdsClient(path, manager, () => {}, { infoRequired: true })
  client.start()
  return { client, manager, running, listener, agent: await came.promise }
}

/** Descriptors of namespaces that this process has open. */
function namespaces(): number {
  return readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return /^(net|uts):/.test(readlinkSync(`/proc/self/fd/${fd}`))
    } catch {
      return false
    }
  }).length
}

const uid = fc.constantFrom('a', 'b', '')
const message = fc.oneof(
  fc
    .tuple(uid, fc.boolean())
    .map(([id, named]) =>
      encodeRequest({ add: { uid: id, ...(named && { workloadInfo: { name: `pod-${id}`, namespace: 'd', serviceAccount: 's' } }) } }),
    ),
  uid.map((id) => encodeRequest({ del: { uid: id } })),
  uid.map((id) => encodeRequest({ keep: { uid: id } })),
  fc.constant(encodeRequest({ snapshotSent: {} })),
)
const broken = fc.tuple(message, fc.nat(), fc.nat(255)).map(([bytes, at, value]) => {
  const copy = Buffer.from(bytes)
  if (copy.length > 0) copy[at % copy.length] = value
  return copy
})
const packet = fc.record({
  // An empty packet cannot be told from the end of the stream.
  data: fc
    .oneof(
      message,
      message,
      broken,
      fc.uint8Array({ minLength: 1, maxLength: 1100 }).map((b) => Buffer.from(b)),
    )
    .filter((b) => b.length > 0),
  fds: fc.constantFrom(0, 1, 1, 2),
})

test('each packet is acknowledged; one that breaks the protocol ends only its stream; no descriptor is kept but those of pods', async () => {
  const before = namespaces()
  let good = 0
  let bad = 0
  await fc.assert(
    fc.asyncProperty(fc.array(packet, { minLength: 1, maxLength: 6 }), async (packets) => {
      const { client, manager, running, listener, agent } = await connected()
      for (const { data, fds } of packets) {
        const sent = Array.from({ length: fds }, () => openSync('/proc/self/ns/net', 'r'))
        const ack = agent.sendRaw(data, sent)
        for (const fd of sent) closeSync(fd)
        const error = await ack
        if (error === undefined) good++
        else {
          bad++
          expect(error).not.toBe('')
          await agent.ended.promise
          break
        }
      }
      expect(namespaces() - before).toBe(manager.pods.size)
      expect(running.size).toBe(manager.pods.size)
      client.stop()
      agent.close()
      listener.close()
      for (const id of [...manager.pods.keys()]) manager.delete(id)
    }),
    { numRuns: 300 },
  )
  expect(good).toBeGreaterThan(0)
  expect(bad).toBeGreaterThan(0)
  expect(namespaces()).toBe(before)
})
