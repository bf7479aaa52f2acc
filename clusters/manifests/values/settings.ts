/** What a values file can say of one workload of the mesh. Absent: as the manifest has it. */
export interface ComponentSettings {
  readonly hub?: string
  readonly tag?: string
  /** A name below the hub, or with `/` in it a whole reference. */
  readonly image?: string
  readonly pullPolicy?: string
  /** Names of Secrets. */
  readonly pullSecrets?: readonly string[]
  readonly resources?: Readonly<Record<string, unknown>>
  /** Beside the manifest's own, or instead of those. */
  readonly env?: Readonly<Record<string, string | number | boolean>>
  readonly podAnnotations?: Readonly<Record<string, unknown>>
  readonly podLabels?: Readonly<Record<string, unknown>>
  readonly nodeSelector?: Readonly<Record<string, unknown>>
  readonly affinity?: Readonly<Record<string, unknown>>
  readonly tolerations?: readonly object[]
  /** `debug`, or by scope: `default:info,cni:debug`. */
  readonly logLevel?: string
}

/** What a values file says, as plain data. */
export interface MeshSettings {
  /** For all components that do not say otherwise. */
  readonly all?: ComponentSettings
  readonly cni?: ComponentSettings & {
    readonly binDir?: string
    readonly confDir?: string
    readonly confName?: string
    readonly netnsDir?: string
    readonly configDir?: string
    readonly excludeNamespaces?: readonly string[]
    readonly detectionRetry?: boolean
  }
  readonly ztunnel?: ComponentSettings & { readonly graceSeconds?: number }
  readonly discovery?: ComponentSettings
  /** Name of the cluster. */
  readonly cluster?: string
  readonly network?: string
}
