import { chmodSync, chownSync, lstatSync, mkdirSync, type Stats, statSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import type { V1HostPathVolumeSource, V1Volume } from '@kubernetes/client-node'
import { makeDirectories } from '../node/directories.ts'
import type { LabNode } from '../node/node.ts'
import type { KubeletApi } from './api.ts'
import { writeAtomically } from './atomic-directory.ts'
import type { VolumeMount } from './container-script.ts'
import type { PodFacts } from './fields.ts'
import { type TokenSource, volumePayload } from './payload.ts'
import type { Container, Pod } from './pod.ts'

/** Where the automatic service-account volume is mounted, and what the admission controller calls it. */
const accountPath = '/var/run/secrets/kubernetes.io/serviceaccount'
const accountVolume = 'kube-api-access'

/** The volumes of a pod on its node: made, kept up to date, and mounted into containers. */
export class PodVolumes {
  private readonly node: LabNode
  private readonly api: KubeletApi
  private readonly tokens = new Map<string, { token: string; until: number }>()
  private readonly sources = new Map<string, { source: string; isFile: boolean }>()
  private closed = false
  private refreshing: Promise<unknown> = Promise.resolve()

  constructor(node: LabNode, api: KubeletApi) {
    this.node = node
    this.api = api
  }

  /** Makes all volumes, or brings those with files from the API up to date. @throws Error that names the volume and what it lacks */
  refresh(facts: PodFacts): Promise<void> {
    const mine = this.refreshing.then(async () => {
      for (const volume of volumesOf(facts.pod)) if (!this.closed) await this.make(volume, facts)
    })
    this.refreshing = mine.catch(() => {})
    return mine
  }

  /** Nothing is written after this has resolved. */
  async close(): Promise<void> {
    this.closed = true
    await this.refreshing
  }

  /** Milliseconds until a token should be renewed; undefined if there is none. */
  renewalDue(): number | undefined {
    const times = [...this.tokens.values()].map((t) => t.until)
    return times.length === 0 ? undefined : Math.max(1000, Math.min(...times) - Date.now())
  }

  /** What is mounted where in a container, parents before what lies in them. */
  mountsOf(pod: Pod, container: Container): VolumeMount[] {
    const mounts = (container.volumeMounts ?? []).map((mount): VolumeMount => {
      const found = this.sources.get(mount.name)
      if (!found)
        throw new Error(
          `volumeMount ${mount.mountPath} of container ${container.name}: the pod has no volume ${JSON.stringify(mount.name)}`,
        )
      if (mount.subPath || mount.subPathExpr)
        throw new Error(`volumeMount ${mount.mountPath}: subPath is not supported by the lab's kubelet`)
      const { mountPath: target, readOnly = false, mountPropagation: propagation = 'None' } = mount
      return { ...found, target, readOnly, propagation }
    })
    const account = this.sources.get(accountVolume)
    if (account && pod.spec.automountServiceAccountToken !== false && !mounts.some((mount) => mount.target === accountPath))
      mounts.push({ ...account, target: accountPath, readOnly: true, propagation: 'None' })
    return mounts.sort((a, b) => a.target.split('/').length - b.target.split('/').length)
  }

  private async make(volume: V1Volume, facts: PodFacts): Promise<void> {
    try {
      await this.makeUnnamed(volume, facts)
    } catch (error) {
      ;(error as Error).message = `MountVolume.SetUp failed for volume ${JSON.stringify(volume.name)}: ${(error as Error).message}`
      throw error
    }
  }

  private async makeUnnamed(volume: V1Volume, facts: PodFacts): Promise<void> {
    const { uid } = facts.pod.metadata
    if (volume.hostPath) {
      if (!this.sources.has(volume.name)) this.sources.set(volume.name, this.hostPath(volume.hostPath))
      return
    }
    const kind = ['emptyDir', 'configMap', 'secret', 'downwardAPI', 'projected'].find((k) => volume[k as keyof V1Volume] !== undefined)
    if (!kind) throw new Error(`a volume of a kind that the lab's kubelet does not know: ${Object.keys(volume).join(', ')}`)
    const path = `/var/lib/kubelet/pods/${uid}/volumes/kubernetes.io~${plugins[kind]}/${volume.name}`
    const directory = this.node.hostPath(path)
    if (kind === 'emptyDir') {
      if (this.sources.has(volume.name)) return
      mkdirSync(directory, { recursive: true })
      chmodSync(directory, 0o777)
      const group = facts.pod.spec.securityContext?.fsGroup
      if (group !== undefined) chownSync(directory, 0, group)
    } else {
      const payload = await volumePayload(volume, facts, this.reader(), this.tokenSource(facts.pod))
      if (payload && !this.closed) writeAtomically(directory, payload)
    }
    this.sources.set(volume.name, { source: path, isFile: false })
  }

  /** The API, with the ConfigMap that a controller publishes in every namespace even where none does. */
  private reader(): Pick<KubeletApi, 'configMap' | 'secret'> {
    const root = { data: { 'ca.crt': this.api.caBundle } }
    return {
      configMap: (namespace, name) => this.api.configMap(namespace, name) ?? (name === 'kube-root-ca.crt' ? root : undefined),
      secret: (namespace, name) => this.api.secret(namespace, name),
    }
  }

  private tokenSource(pod: Pod): TokenSource {
    return async (audience, expirationSeconds) => {
      const key = `${audience ?? ''} ${expirationSeconds}`
      const known = this.tokens.get(key)
      if (known && known.until > Date.now()) return known.token
      const { namespace, name, uid } = pod.metadata
      const serviceAccount = pod.spec.serviceAccountName ?? 'default'
      const request = { namespace, serviceAccount, expirationSeconds, pod: { name, uid }, ...(audience === undefined ? {} : { audience }) }
      const issued = await this.api.issueToken(request)
      // Renewed after four fifths of its life, as the kubelet does.
      this.tokens.set(key, { token: issued.token, until: Date.now() + issued.expirationSeconds * 800 })
      return issued.token
    }
  }

  private hostPath({ path, type = '' }: V1HostPathVolumeSource): { source: string; isFile: boolean } {
    const real = this.node.hostPath(path)
    const found = stat(real)
    if (!found && (type === '' || type === 'DirectoryOrCreate')) makeDirectories(real)
    if (!found && type === 'FileOrCreate') {
      makeDirectories(dirname(real))
      writeFileSync(real, '', { mode: 0o644 })
    }
    const is = stat(real)
    const check = type.replace('OrCreate', '')
    const matches = is && (checks[check]?.(is) ?? check === '')
    if (!matches) throw new Error(`hostPath type check failed: ${path} is not a ${check || 'path'} on node ${this.node.name}`)
    return { source: real.slice(this.node.root.length) || '/', isFile: !is.isDirectory() }
  }
}

const plugins: Readonly<Record<string, string>> = {
  emptyDir: 'empty-dir',
  configMap: 'configmap',
  secret: 'secret',
  downwardAPI: 'downward-api',
  projected: 'projected',
}

const checks: Readonly<Record<string, (s: Stats) => boolean>> = {
  Directory: (s) => s.isDirectory(),
  File: (s) => s.isFile(),
  Socket: (s) => s.isSocket(),
  CharDevice: (s) => s.isCharacterDevice(),
  BlockDevice: (s) => s.isBlockDevice(),
}

/** The pod's volumes, and the one with its service account's token that the admission controller would add. */
function volumesOf(pod: Pod): V1Volume[] {
  const own = pod.spec.volumes ?? []
  const mounted = pod.spec.containers.every((c) => c.volumeMounts?.some((mount) => mount.mountPath === accountPath))
  if (pod.spec.automountServiceAccountToken === false || mounted) return own
  const downwardAPI = { items: [{ path: 'namespace', fieldRef: { apiVersion: 'v1', fieldPath: 'metadata.namespace' } }] }
  const sources = [
    { serviceAccountToken: { path: 'token', expirationSeconds: 3607 } },
    { configMap: { name: 'kube-root-ca.crt', items: [{ key: 'ca.crt', path: 'ca.crt' }] } },
    { downwardAPI },
  ]
  return [...own, { name: accountVolume, projected: { defaultMode: 0o644, sources } }]
}

function stat(path: string): Stats | undefined {
  try {
    return statSync(path)
  } catch {
    try {
      return lstatSync(path)
    } catch {
      return undefined
    }
  }
}
