import type { V1DownwardAPIVolumeFile, V1KeyToPath, V1Volume, V1VolumeProjection } from '@kubernetes/client-node'
import type { KubeletApi } from './api.ts'
import type { Payload } from './atomic-directory.ts'
import { MissingReference } from './environment.ts'
import { fieldValue, type PodFacts, resourceValue } from './fields.ts'

type Files = Map<string, { data: Buffer; mode: number }>
type Reader = Pick<KubeletApi, 'configMap' | 'secret'>
/** A service-account token for the audience, fresh enough to be handed out. */
export type TokenSource = (audience: string | undefined, expirationSeconds: number) => Promise<string>

/**
 * The files of a configMap, secret, downwardAPI or projected volume; undefined for other volumes.
 * @throws MissingReference for an object or key that is not there and not optional
 */
export async function volumePayload(volume: V1Volume, facts: PodFacts, api: Reader, token: TokenSource): Promise<Payload | undefined> {
  const { configMap, secret, downwardAPI, projected } = volume
  const files: Files = new Map()
  if (configMap) await project({ configMap }, configMap.defaultMode)
  else if (secret) {
    const { secretName, defaultMode, ...rest } = secret
    await project({ secret: { name: secretName ?? '', ...rest } }, defaultMode)
  } else if (downwardAPI) await project({ downwardAPI: { items: downwardAPI.items ?? [] } }, downwardAPI.defaultMode)
  else if (projected) for (const source of projected.sources ?? []) await project(source, projected.defaultMode)
  else return undefined
  return files

  async function project(source: V1VolumeProjection, mode = 0o644): Promise<void> {
    const { namespace } = facts.pod.metadata
    if (source.configMap) {
      const { name = '', items, optional } = source.configMap
      const found = api.configMap(namespace, name)
      const data = found && { ...encode(found.data, 'utf8'), ...encode(found.binaryData, 'base64') }
      add(files, data, `configmap ${JSON.stringify(name)}`, items, optional, mode)
    } else if (source.secret) {
      const { name = '', items, optional } = source.secret
      const found = api.secret(namespace, name)
      add(files, found && encode(found.data, 'base64'), `secret ${JSON.stringify(name)}`, items, optional, mode)
    } else if (source.downwardAPI) {
      for (const item of source.downwardAPI.items ?? [])
        files.set(item.path, { data: Buffer.from(downward(item, facts)), mode: item.mode ?? mode })
    } else if (source.serviceAccountToken) {
      const { path, audience, expirationSeconds = 3600 } = source.serviceAccountToken
      files.set(path, { data: Buffer.from(await token(audience, expirationSeconds)), mode })
    } else
      throw new Error(
        `volume ${volume.name}: a projected source of a kind that the lab's kubelet does not know: ${Object.keys(source).join(', ')}`,
      )
  }
}

function add(
  files: Files,
  data: Readonly<Record<string, Buffer>> | undefined,
  what: string,
  items: readonly V1KeyToPath[] | undefined,
  optional: boolean | undefined,
  mode: number,
): void {
  if (!data) {
    if (optional) return
    throw new MissingReference(`${what} not found`)
  }
  const wanted = items ?? Object.keys(data).map((key): V1KeyToPath => ({ key, path: key }))
  for (const item of wanted) {
    const value = data[item.key]
    if (value !== undefined) files.set(item.path, { data: value, mode: item.mode ?? mode })
    else if (!optional) throw new MissingReference(`${what} references non-existent key: ${item.key}`)
  }
}

function downward(item: V1DownwardAPIVolumeFile, facts: PodFacts): string {
  if (item.fieldRef) return fieldValue(facts, item.fieldRef)
  if (item.resourceFieldRef) return resourceValue(facts.pod, undefined, item.resourceFieldRef)
  throw new Error(`downwardAPI file ${item.path} names no field`)
}

function encode(data: Readonly<Record<string, string>> | undefined, encoding: 'utf8' | 'base64'): Record<string, Buffer> {
  return Object.fromEntries(Object.entries(data ?? {}).map(([key, value]) => [key, Buffer.from(value, encoding)]))
}
