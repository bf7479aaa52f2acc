import { TextServer } from '../lib/text-server.ts'
import { readConfig } from './config.ts'
import { Discovery } from './discovery.ts'
import { createLog } from './log.ts'
import { Metrics } from './metrics.ts'

let log = createLog('istiod')
try {
  const config = readConfig(process.env)
  log = createLog('istiod', config.logLevel)
  const metrics = new Metrics()
  let ready = false
  const health = new TextServer({
    '/ready': () => (ready ? { status: 200, text: 'ok\n' } : { status: 503, text: 'not ready\n' }),
  })
  const monitoring = new TextServer({ '/metrics': () => ({ status: 200, text: metrics.text() }) })
  const discovery = new Discovery(config, metrics)

  let stopping = false
  const stop = async (signal: string) => {
    if (stopping) return
    stopping = true
    ready = false
    log.info('stopping', { signal })
    await discovery.stop()
    await Promise.all([health.close(), monitoring.close()])
    log.info('stopped')
    process.exit(0)
  }
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => stop(signal).catch(fail))

  const ports = { health: await health.listen(config.healthPort), metrics: await monitoring.listen(config.metricsPort) }
  const grpc = await discovery.start()
  ready = !stopping
  log.info('ready', { grpc, ...ports, startedMs: Math.round(process.uptime() * 1000) })
} catch (error) {
  fail(error)
}

function fail(error: unknown): never {
  log.error(error instanceof Error ? error.message : String(error))
  process.exit(1)
}
