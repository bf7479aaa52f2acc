import type { KubernetesObject } from '../kubernetes.ts'

type Schema = Readonly<Record<string, unknown>>

const text: Schema = { type: 'string' }
const texts: Schema = { type: 'array', items: text }
const choice = (...values: string[]): Schema => ({ type: 'string', enum: values })
const object = (properties: Readonly<Record<string, Schema>>, more: Schema = {}): Schema => ({ type: 'object', properties, ...more })
const list = (items: Schema): Schema => ({ type: 'array', items })
const map = (additionalProperties: Schema): Schema => ({ type: 'object', additionalProperties })
const lists = (...names: string[]): Schema => object(Object.fromEntries(names.map((name) => [name, texts])))

const selector = object({ matchLabels: map(text) })
const target = object({ group: text, kind: text, name: text, namespace: text }, { required: ['kind', 'name'] })
const mtls = object({ mode: choice('UNSET', 'DISABLE', 'PERMISSIVE', 'STRICT') })

/** `security.istio.io/v1`, as upstream's API has it: also what only a proxy of HTTP can use, which ztunnel takes for "no match". */
const authorizationPolicy = object({
  selector,
  targetRef: target,
  targetRefs: list(target),
  action: choice('ALLOW', 'DENY', 'AUDIT', 'CUSTOM'),
  provider: object({ name: text }),
  rules: list(
    object({
      from: list(
        object({
          source: lists(
            ...['principals', 'notPrincipals', 'requestPrincipals', 'notRequestPrincipals', 'namespaces', 'notNamespaces'],
            ...['serviceAccounts', 'notServiceAccounts', 'ipBlocks', 'notIpBlocks', 'remoteIpBlocks', 'notRemoteIpBlocks'],
          ),
        }),
      ),
      to: list(object({ operation: lists('hosts', 'notHosts', 'ports', 'notPorts', 'methods', 'notMethods', 'paths', 'notPaths') })),
      when: list(object({ key: text, values: texts, notValues: texts }, { required: ['key'] })),
    }),
  ),
})

const peerAuthentication = object({ selector, mtls, portLevelMtls: map(mtls) })

function definition(kind: string, plural: string, shortName: string, spec: Schema): KubernetesObject {
  const schema = object({ spec, status: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } })
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${plural}.security.istio.io` },
    spec: {
      group: 'security.istio.io',
      scope: 'Namespaced',
      names: { kind, listKind: `${kind}List`, plural, singular: kind.toLowerCase(), shortNames: [shortName] },
      versions: [{ name: 'v1', served: true, storage: true, subresources: { status: {} }, schema: { openAPIV3Schema: schema } }],
    },
  }
}

/** The kinds of configuration that the control plane reads. They stay when the mesh goes: users' policies hang on them. */
export const customResourceDefinitions: readonly KubernetesObject[] = [
  definition('AuthorizationPolicy', 'authorizationpolicies', 'ap', authorizationPolicy),
  definition('PeerAuthentication', 'peerauthentications', 'pa', peerAuthentication),
]
