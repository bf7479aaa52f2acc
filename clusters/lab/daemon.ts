import { Registry } from '../registry.ts'
import type { DaemonOptions, FromDaemon, ToDaemon } from './daemon-protocol.ts'
import { Machinery } from './machinery.ts'

// The lab's process: API server, controllers, kubelets, kube-proxies and DNS of one lab. It lives as long as its IPC channel.
const options = JSON.parse(process.argv[2] ?? '{}') as DaemonOptions
const say = (message: FromDaemon) => {
  if (process.connected) process.send?.(message)
}
const problem = (error: unknown) => say({ say: 'problem', message: error instanceof Error ? error.message : String(error) })

const registry = Registry.open(options.id)
const machinery = new Machinery(options, registry, problem)
let ending: Promise<void> | undefined

/** Once, whatever asks for it first. What is left when this fails is the registry's to remove. */
function end(code: number): Promise<void> {
  ending ??= machinery.stop().catch((error) => {
    problem(error)
    code = 1
  })
  return ending.then(() => process.exit(code))
}

/** The run is dead and will not remove the rest of what it owned. */
async function orphaned(): Promise<void> {
  ending ??= machinery
    .stop()
    .catch(() => {})
    .then(() => registry.teardown())
    .catch(() => {})
  await ending
  process.exit(1)
}

process.on('disconnect', orphaned)
process.on('SIGTERM', () => end(0))
process.on('SIGINT', () => {})
process.on('uncaughtException', (error) => {
  problem(new Error(`lab: ${error.stack}`))
  end(1)
})
process.on('message', (message: ToDaemon) => {
  if (message.do === 'stop') end(0)
  else {
    machinery.setImages(message.images)
    say({ say: 'loaded', id: message.id })
  }
})

try {
  const ready = await machinery.start((line) => say({ say: 'progress', line }))
  say({ say: 'ready', ...ready })
} catch (error) {
  problem(error)
  end(1)
}
