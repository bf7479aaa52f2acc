import type { KubernetesObject } from '../kubernetes.ts'
import type { MeshOptions } from './mesh.ts'
import { image } from './names.ts'
import type { ComponentSettings } from './values/settings.ts'

/** Which variable tells a component its log level, and under which scopes a level by scope names it. */
const logging = {
  cni: { variable: 'LOG_LEVEL', scopes: ['cni', 'cni-agent', 'default'] },
  ztunnel: { variable: 'RUST_LOG', scopes: ['ztunnel', 'default'] },
  discovery: { variable: 'LOG_LEVEL', scopes: ['pilot', 'istiod', 'default'] },
} as const

interface Container {
  image: string
  imagePullPolicy: string
  env: { name: string; value?: string }[]
  resources?: unknown
}
interface Workload extends KubernetesObject {
  spec: {
    template: {
      metadata: { labels: Record<string, unknown>; annotations: Record<string, unknown> }
      spec: Record<string, unknown> & { containers: [Container] }
    }
  }
}

/** The manifests of a component with what the values file says of its workload and account. */
export function configured(
  component: keyof typeof logging,
  objects: readonly KubernetesObject[],
  options: MeshOptions,
): KubernetesObject[] {
  const { settings = {} } = options
  // What the mesh says of all, and what the component says of itself.
  const s: ComponentSettings = { ...settings.all, ...settings[component] }
  return objects.map((object) => {
    if (object.kind === 'ServiceAccount' && s.pullSecrets) return { ...object, imagePullSecrets: s.pullSecrets.map((name) => ({ name })) }
    if (object.kind !== 'DaemonSet' && object.kind !== 'Deployment') return object
    const { spec } = object as Workload
    const { metadata, spec: pod } = spec.template
    const [container] = pod.containers
    const own = {
      ...container,
      image: imageOf(container.image, s),
      imagePullPolicy: s.pullPolicy ?? container.imagePullPolicy,
      env: withEnv(container.env, { ...logLevel(component, s.logLevel), ...s.env }),
      ...(s.resources ? { resources: s.resources } : {}),
    }
    return {
      ...object,
      spec: {
        ...spec,
        template: {
          metadata: {
            labels: { ...texts(s.podLabels), ...metadata.labels },
            annotations: { ...metadata.annotations, ...texts(s.podAnnotations) },
          },
          spec: {
            ...pod,
            ...(s.nodeSelector ? { nodeSelector: { ...(pod.nodeSelector as object), ...texts(s.nodeSelector) } } : {}),
            ...(s.affinity ? { affinity: s.affinity } : {}),
            ...(s.tolerations ? { tolerations: s.tolerations } : {}),
            containers: [own],
          },
        },
      },
    }
  })
}

/** What the images are called that the manifests name: usual name → name. */
export function imageNames({ settings = {} }: Pick<MeshOptions, 'settings'>): Record<string, string> {
  const components = Object.keys(logging) as (keyof typeof logging)[]
  return Object.fromEntries(components.map((c) => [image[c], imageOf(image[c], { ...settings.all, ...settings[c] })]))
}

/** `everyhop/cni:dev` with another hub, tag or name; an image with a `/` is whole, but for its tag. */
function imageOf(usual: string, { hub, tag, image: own }: ComponentSettings): string {
  const [, usualHub, usualName, usualTag] = /^(.*)\/([^/]*):([^:]*)$/.exec(usual) as unknown as [string, string, string, string]
  if (own?.includes('/')) return /:[^/]*$/.test(own) ? own : `${own}:${tag ?? usualTag}`
  return `${hub ?? usualHub}/${own ?? usualName}:${tag ?? usualTag}`
}

function withEnv(env: Container['env'], wanted: Record<string, string | number | boolean>): Container['env'] {
  const kept = env.filter(({ name }) => !Object.hasOwn(wanted, name))
  return [...kept, ...Object.entries(wanted).map(([name, value]) => ({ name, value: String(value) }))]
}

/** `default:info,cni:debug` or `debug`, as far as it is about this component. */
function logLevel(component: keyof typeof logging, said: string | undefined): Record<string, string> {
  if (!said) return {}
  const { variable, scopes } = logging[component]
  const levels = new Map(said.split(',').map((part) => (part.includes(':') ? part.split(':', 2) : ['default', part]) as [string, string]))
  const level = scopes.map((scope) => levels.get(scope)).find(Boolean)
  return level ? { [variable]: level } : {}
}

const texts = (map: Readonly<Record<string, unknown>> = {}) => Object.fromEntries(Object.entries(map).map(([k, v]) => [k, String(v)]))
