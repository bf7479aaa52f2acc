import { x509 } from '../lib/ca.ts'
import { AccessLog } from './access-log.ts'
import { openAdmin } from './admin.ts'
import { Certificates } from './certificates.ts'
import { ConfigError, loadConfig } from './config.ts'
import { configDump, configuration } from './config-dump.ts'
import { configDump2023 } from './config-dump-2023.ts'
import { certificateSource, stateSource } from './control-plane/sources.ts'
import { inpodPlacement } from './inpod-placement.ts'
import { createLog, stdoutWriter } from './log.ts'
import { PodManager } from './manager.ts'
import { Metrics } from './metrics/metrics.ts'
import { PodProxy } from './proxy.ts'
import { releaseNamed } from './release.ts'
import { resolverFile } from './resolver-file.ts'
import type { Shared } from './serving.ts'
import { SharedProxy } from './shared-proxy.ts'
import { MeshState } from './state/store.ts'
import { ZdsClient } from './zds-client.ts'

/** Exit codes: 0 drained and gone, 1 could not run, 2 bad environment. */
async function main(): Promise<void> {
  const config = loadConfig(process.env)
  const release = releaseNamed(config.release)
  const logging = createLog({ format: config.logFormat, filter: config.logFilter, write: stdoutWriter() })
  const { log } = logging
  const metrics = new Metrics()
  const state = new MeshState()
  const ca = certificateSource(config, log)
  const certificates = new Certificates(ca.issue, log)
  const source = await stateSource(config, state, metrics, log)
  const waiting = new Set(['state manager', 'ca'])
  void source.ready.then(() => waiting.delete('state manager'))
  void ca.ready.then(() => waiting.delete('ca'))
  const shared: Shared = {
    config,
    release,
    state,
    certificates,
    access: new AccessLog(log, metrics.traffic),
    metrics,
    log,
    resolver: resolverFile(config.resolvConf),
  }
  const manager = new PodManager({
    release,
    log,
    metrics,
    drainDeadline: config.terminationDeadline,
    place: (netns) => inpodPlacement(netns, config, release),
    start: (info, placement) => PodProxy.start(shared, info, placement),
  })
  const zds = new ZdsClient(config.inpodUds, manager, log, { infoRequired: release.workloadInfoRequired })
  const ownProxy = release.sharedProxy ? new SharedProxy(shared) : undefined
  let leaving = false
  const leave = async (why: string) => {
    if (leaving) return
    leaving = true
    log('info', 'app', 'shutting down', { why, deadline: config.terminationDeadline })
    zds.stop()
    await Promise.all([manager.shutdown(config.terminationDeadline), ownProxy?.shutdown(config.terminationDeadline)])
    source.close()
    ca.close()
    admin.close()
    certificates.close()
    log('info', 'app', 'shutdown completed')
    // Aborted relays write their last lines in the next turns.
    setTimeout(() => process.exit(0), 50)
  }
  const admin = await openAdmin(
    {
      dump: () =>
        release.dumpOf2023 ? configDump2023(configuration(config), state, certificates) : configDump(config, state, certificates, manager),
      metrics: () => metrics.text(),
      pending: () => [...waiting, ...((ownProxy ?? manager).ready ? [] : ['proxy manager'])],
      level: logging,
      quit: () => void leave('quitquitquit'),
    },
    log,
  )
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => void leave(signal))
  process.on('uncaughtException', (error) => log('error', 'app', 'unexpected error', { error: error.stack ?? error.message }))
  process.on('unhandledRejection', (error) =>
    log('error', 'app', 'unexpected rejection', { error: String((error as Error)?.stack ?? error) }),
  )
  for (const line of release.lines.started(config)) log('info', 'app', line)
  if (ownProxy) await ownProxy.start()
  else zds.start()
  log('info', 'app', 'ztunnel started', { release: release.name, node: config.nodeName })
  // The X.509 library is slow to load; the first handshake should not have to wait for it.
  setImmediate(() => void x509())
}

main().catch((error: Error) => {
  console.error(error instanceof ConfigError ? error.message : `ztunnel cannot run: ${error.message}`)
  process.exit(error instanceof ConfigError ? 2 : 1)
})
