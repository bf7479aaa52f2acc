import { readFileSync } from 'node:fs'
import { join } from 'node:path'

/**
 * The plugin's way to the API server: the agent's own service account. JSON, which is YAML too, so that the plugin need not load a YAML parser.
 * @param directory the service account's files (`token`, `ca.crt`)
 */
export function kubeconfig(directory: string, server: { readonly host: string; readonly port: string }): string {
  const host = server.host.includes(':') ? `[${server.host}]` : server.host
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [
      {
        name: 'local',
        cluster: {
          server: `https://${host}:${server.port}`,
          'certificate-authority-data': readFileSync(join(directory, 'ca.crt')).toString('base64'),
        },
      },
    ],
    users: [{ name: 'istio-cni', user: { token: readFileSync(join(directory, 'token'), 'utf8').trim() } }],
    contexts: [{ name: 'istio-cni-context', context: { cluster: 'local', user: 'istio-cni' } }],
    'current-context': 'istio-cni-context',
  }
  return `${JSON.stringify(config, null, 2)}\n`
}
