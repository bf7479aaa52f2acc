/**
 * The collector: one process on a node, in the node's namespaces, that holds sockets in all watched network namespaces and writes what they tell as frames to stdout (see protocol.ts and
 * frames.ts). It spawns nothing per case: only when a namespace is first watched, and for snapshots.
 *
 *     node harness/evidence/collector.ts NODE [RING]
 *
 * RING: packet ring of each namespace in MB, 6 unless told.
 */
import { setPriority } from 'node:os'
import { createInterface } from 'node:readline'
import { Collector } from './collect/collector-core.ts'
import { PipeOutput } from './collect/output.ts'
import { defaultRing } from './collect/packet-ring.ts'
import type { CollectorCommand } from './protocol.ts'

const [, , node, ringMegabytes = '6'] = process.argv
if (!node || !/^[1-9]\d{0,3}$/.test(ringMegabytes)) {
  console.error('usage: collector.ts NODE [RING]\nRING: packet ring of each namespace, 1 to 9999 MB')
  process.exit(2)
}
const ring = { ...defaultRing, blocks: (Number(ringMegabytes) << 20) / defaultRing.blockSize }

// Woken late, it would ask for sockets that are gone. Not much higher: the kernel's own workers, which hand over events, have the normal one.
try {
  setPriority(-4)
} catch {
  console.error('collector: no higher priority allowed, going on without')
}

const output = new PipeOutput(1, () => void end())
const collector = new Collector(node, output, ring)
let ending = false

/** Nobody is left to be told, or nobody will ask: take away what we put into the namespaces, and go. */
async function end(reply?: () => void): Promise<void> {
  if (ending) return
  ending = true
  await collector.stop()
  reply?.()
  await output.end()
  process.exit(0)
}

const input = createInterface({ input: process.stdin })
input.on('line', (line) => void take(line))
input.on('close', () => void end())
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => void end())

async function take(line: string): Promise<void> {
  let command: CollectorCommand
  try {
    command = JSON.parse(line) as CollectorCommand
  } catch {
    console.error(`collector: not a command: ${line.slice(0, 200)}`)
    return
  }
  const id = String(command.id)
  if (command.do === 'stop') return end(() => output.reply({ id, ok: true }))
  try {
    const result = await collector.run(command)
    output.reply(result === undefined ? { id, ok: true } : { id, ok: true, result })
  } catch (error) {
    output.reply({ id, ok: false, error: (error as Error).message })
  }
}
