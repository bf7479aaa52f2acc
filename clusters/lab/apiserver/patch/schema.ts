/**
 * Where in the built-in kinds lists are merged by key instead of being replaced. What is not listed is atomic.
 * Source: `patchStrategy`/`patchMergeKey` and `listType`/`listMapKey` markers of k8s.io/api.
 */
export interface Schema {
  readonly fields?: Readonly<Record<string, Schema>>
  /** The value is a list. */
  readonly list?: {
    /** Keys that tell items apart in server-side apply; none: a set of plain values. */
    readonly keys?: readonly string[]
    /** The one key that strategic merge patch goes by. */
    readonly mergeKey?: string
    /** What an item's key is when it is left out. */
    readonly defaults?: Readonly<Record<string, string>>
    readonly item?: Schema
  }
  /** The object is owned and replaced as a whole by server-side apply. */
  readonly atomic?: boolean
}

const by = (key: string, item?: Schema): Schema => ({ list: { keys: [key], mergeKey: key, ...(item && { item }) } })
const set: Schema = { list: {} }
const atomic: Schema = { atomic: true }
const fields = (of: Record<string, Schema>): Schema => ({ fields: of })
const protocol = { protocol: 'TCP' }

const metadata = fields({ ownerReferences: by('uid'), finalizers: set })
const conditions = by('type')
const container = fields({
  env: by('name'),
  ports: { list: { keys: ['containerPort', 'protocol'], mergeKey: 'containerPort', defaults: protocol } },
  volumeMounts: by('mountPath'),
  volumeDevices: by('devicePath'),
})
const podSpec = fields({
  containers: by('name', container),
  initContainers: by('name', container),
  ephemeralContainers: by('name', container),
  volumes: by('name'),
  imagePullSecrets: by('name'),
  hostAliases: by('ip'),
  topologySpreadConstraints: { list: { keys: ['topologyKey', 'whenUnsatisfiable'], mergeKey: 'topologyKey' } },
  nodeSelector: atomic,
})
const template = fields({ metadata, spec: podSpec })
const workload = fields({ metadata, spec: fields({ template, selector: atomic }), status: fields({ conditions }) })
const withConditions = fields({ metadata, status: fields({ conditions }) })

const kinds: Record<string, Schema> = {
  Pod: fields({ metadata, spec: podSpec, status: fields({ conditions, podIPs: by('ip'), hostIPs: by('ip') }) }),
  Node: fields({ metadata, spec: fields({ podCIDRs: set }), status: fields({ conditions, addresses: by('type') }) }),
  Namespace: withConditions,
  Service: fields({
    metadata,
    spec: fields({ ports: { list: { keys: ['port', 'protocol'], mergeKey: 'port', defaults: protocol } }, selector: atomic }),
    status: fields({ conditions }),
  }),
  ServiceAccount: fields({ metadata, secrets: by('name') }),
  DaemonSet: workload,
  Deployment: workload,
  ReplicaSet: workload,
  EndpointSlice: fields({ metadata, endpoints: {}, ports: {} }),
}
const customFields = fields({
  metadata,
  spec: fields({ listeners: by('name') }),
  status: fields({ conditions, listeners: by('name', fields({ conditions })) }),
})
const plain = fields({ metadata })

export function schemaOf(kind: string, isCustom: boolean): Schema {
  return isCustom ? customFields : (kinds[kind] ?? plain)
}

export function field(schema: Schema | undefined, name: string): Schema | undefined {
  return schema?.fields && Object.hasOwn(schema.fields, name) ? schema.fields[name] : undefined
}
