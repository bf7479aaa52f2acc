import type { KubernetesObject } from '../kubernetes.ts'
import type { Rule } from './objects.ts'

/** What of the manifests differs from mode to mode: the only place of the manifests that knows them by name. */
export interface ModeParts {
  readonly releases: readonly string[]
  /** Whether a pod's own label brings it into the mesh, or keeps it out; else only its namespace's does. */
  readonly podLabelCounts: boolean
  /** What keeps the mesh's own pods out, where a label does not. */
  readonly ownAnnotations: Readonly<Record<string, string>>
  readonly agent: {
    /** Rights beside those of all modes. */
    readonly rules: readonly Rule[]
    /** It writes settings of the node's network, which only a privileged container can (`/proc/sys`). */
    readonly privileged: boolean
    /** Where it tells its plugin how the node stands. */
    readonly configDir: boolean
  }
  readonly ztunnel: {
    /** It has a proxy in each pod, whose namespaces the agent hands to it; else one for all in its own namespace. */
    readonly inPods: boolean
    /** Only where questions are to be captured it says that it answers them: the agent asks its pod. */
    readonly tellsDnsCapture: boolean
  }
}

const dataplaneMode = 'istio.io/dataplane-mode'
const redirection = 'ambient.istio.io/redirection'

const modes: Readonly<Record<string, ModeParts>> = {
  inpod: {
    releases: ['today', '1.21'],
    podLabelCounts: true,
    ownAnnotations: {},
    agent: { rules: [], privileged: false, configDir: false },
    ztunnel: { inPods: true, tellsDnsCapture: false },
  },
  // Facts geneve-mode 1.7, 2.3, 5.1, 5.2, 5.3.
  iptables: {
    releases: ['1.20'],
    podLabelCounts: false,
    ownAnnotations: { [redirection]: 'disabled' },
    agent: {
      // The node's own pod network and address.
      rules: [{ apiGroups: [''], resources: ['nodes'], verbs: ['get'] }],
      privileged: true,
      configDir: true,
    },
    ztunnel: { inPods: false, tellsDnsCapture: true },
  },
}

/** A mesh that cannot be made: which, and the fix. */
export class MeshError extends Error {
  override name = 'MeshError'
}

/** @throws MeshError when there is no such mode, or it has no such release */
export function modeParts({ mode, release }: { readonly mode: string; readonly release: string }): ModeParts {
  const known = modes[mode]
  if (!known) throw new MeshError(`mode ${JSON.stringify(mode)} is not known; fix: use ${Object.keys(modes).join(' or ')}`)
  if (!known.releases.includes(release))
    throw new MeshError(`release ${JSON.stringify(release)} is not known in mode ${mode}; fix: use ${known.releases.join(' or ')}`)
  return known
}

/** Whether a mesh of this mode takes a pod in, as its agent decides. */
export function takesIn(
  mesh: { readonly mode: string; readonly release: string },
  { metadata: { labels = {}, annotations = {} } }: Pick<KubernetesObject, 'metadata'>,
  namespaceLabels: Readonly<Record<string, string>>,
): boolean {
  const ofNamespace = namespaceLabels[dataplaneMode] === 'ambient'
  if (!modeParts(mesh).podLabelCounts) return ofNamespace && annotations[redirection] !== 'disabled'
  return labels[dataplaneMode] === 'ambient' || (ofNamespace && labels[dataplaneMode] !== 'none')
}
