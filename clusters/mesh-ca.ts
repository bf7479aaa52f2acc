import type { CaFiles } from '../images/lib/ca.ts'
import { ApiClient, accessOf } from './api-client.ts'
import type { KubernetesObject } from './kubernetes.ts'
import { caSecret, meshNamespace } from './manifests/names.ts'

/** Where a mesh keeps the key that its certificates are signed with: one that was given to it, or else its own (names of Istio's). */
const secrets = [caSecret, 'istio-ca-secret']

/** The mesh's CA, as an administrator can read it: for peers that are to look real. @throws Error that names the Secrets looked for */
export async function meshCa(cluster: { readonly kubeconfig: string }): Promise<CaFiles> {
  const api = new ApiClient(accessOf(cluster.kubeconfig))
  try {
    const { items } = await api.list(`/api/v1/namespaces/${meshNamespace}/secrets`)
    const found = secrets.map((name) => items.find((s) => s.metadata.name === name)).find((s) => s !== undefined)
    if (!found) throw new Error(`namespace ${meshNamespace} has no Secret ${secrets.join(' or ')}: install the mesh first`)
    const data = (found as KubernetesObject & { data?: Record<string, string> }).data ?? {}
    const text = (key: string) => Buffer.from(data[key] ?? '', 'base64').toString()
    // A CA of the mesh's own is its own root.
    return {
      'ca-cert.pem': text('ca-cert.pem'),
      'ca-key.pem': text('ca-key.pem'),
      'root-cert.pem': text('root-cert.pem') || text('ca-cert.pem'),
    }
  } finally {
    api.close()
  }
}
