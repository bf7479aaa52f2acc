import type { Issuer } from '../certificates.ts'
import type { Config } from '../config.ts'
import { fileCa } from '../file-ca.ts'
import type { Log } from '../log.ts'
import type { Metrics } from '../metrics/metrics.ts'
import type { MeshState } from '../state/store.ts'
import { CaClient } from './ca-client.ts'
import { XdsClient } from './xds-client.ts'

/** Something that ztunnel is not ready without. */
interface Source {
  /** Resolves when it has given what ztunnel needs to begin. */
  readonly ready: Promise<void>
  close(): void
}

/** Keeps `state` up to date: from the xDS server, or from the local file where there is none. */
export async function stateSource(config: Config, state: MeshState, metrics: Metrics, log: Log): Promise<Source> {
  const { xds, tokenPath, instanceIp, nodeMetadata } = config.controlPlane
  if (!xds) {
    // Its parsers take 100 ms and 15 MB to load, which the usual form need not pay for.
    const { followLocalFile } = await import('../state/local-file.ts')
    return followLocalFile(config.localXdsPath, state, log)
  }
  const { podName, podNamespace, nodeName, clusterId } = config
  const node = { ip: instanceIp, podName, podNamespace, nodeName, clusterId, metadata: nodeMetadata }
  const client = new XdsClient({ server: xds, tokenPath, node, state, log, events: metrics.xds })
  client.start()
  return client
}

/** Has certificates signed: by the CA server, or by the CA in files where there is none. */
export function certificateSource(config: Config, log: Log): Source & { readonly issue: Issuer } {
  const { ca: server, tokenPath } = config.controlPlane
  if (!server) return fileCa(config.localCaDir, config.secretTtl, log)
  const client = new CaClient({ server, tokenPath, clusterId: config.clusterId, ttl: config.secretTtl })
  // A CA that is away keeps no pod from being served that needs no certificate.
  return { ready: Promise.resolve(), issue: client.issue, close: () => client.close() }
}
