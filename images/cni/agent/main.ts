import { TextServer } from '../../lib/text-server.ts'
import { Ambient } from './ambient.ts'
import { readConfig, unsupported } from './config.ts'
import { Health } from './health.ts'
import { Installer } from './install/installer.ts'
import { ClusterApi } from './kubernetes.ts'
import { createLog } from './log.ts'
import { Metrics } from './metrics.ts'

let log = createLog('cni-agent')
try {
  const config = readConfig(process.env)
  log = createLog('cni-agent', config.logLevel)
  for (const line of unsupported(process.env)) log.warn(line)
  const metrics = new Metrics()
  const api = new ClusterApi(config, log)
  const health = new Health()
  const installer = new Installer(config, log)
  const ambient = config.ambientEnabled ? new Ambient(config, api, log, createLog('cni-plugin', config.logLevel), metrics) : undefined

  let stopping = false
  const stop = async (signal: string) => {
    if (stopping) return
    stopping = true
    log.info(`received ${signal}, stopping`)
    health.ready = false
    installer.stop()
    const uninstall = await api.isUninstall(config.podNamespace, config.daemonSet)
    log.info(uninstall ? 'the DaemonSet is gone or going: uninstalling' : 'the DaemonSet stays: leaving the installation in place')
    if (uninstall) installer.remove()
    await ambient?.stop(uninstall)
    await api.stop()
    process.exit(0)
  }
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => stop(signal).catch(fail))

  await health.listen(config.healthPort)
  await new TextServer({ '/metrics': () => ({ status: 200, text: metrics.text() }) }).listen(config.metricsPort)
  // The plugin goes first: a pod that starts before the agent can enrol it must wait, not run without the mesh.
  await Promise.all([installer.start(), ambient?.start()])
  health.ready = !stopping
} catch (error) {
  fail(error)
}

function fail(error: unknown): never {
  log.error(error instanceof Error ? error.message : String(error))
  process.exit(1)
}
