import type { ChildProcess } from 'node:child_process'
import type { DockerPlace } from './kind/docker/docker.ts'
import type { KubernetesObject } from './kubernetes.ts'
import type { Topology } from './topology.ts'

/** What differs between providers, and nothing else (law 5). */
export interface Cluster extends AsyncDisposable {
  /** Owner id of everything this cluster is made of; also the prefix of its names. */
  readonly id: string
  readonly provider: 'lab' | 'kind' | 'existing'
  /** The topology's: where its pods run, and evidence is collected. There may be others (kind's control plane). */
  readonly nodes: readonly ClusterNode[]
  /** A kubeconfig file with cluster-admin rights, usable from this process. */
  readonly kubeconfig: string
  readonly handle: ClusterHandle
  /** Creates or updates the objects by server-side apply, in order. Throws ApplyError naming object and reason. */
  apply(objects: readonly KubernetesObject[]): Promise<void>
  /** Deletes the objects that exist; waits until they are gone. */
  delete(objects: readonly KubernetesObject[]): Promise<void>
  /** Makes images available on all nodes under their names. Lab: an image is a source folder with an entry point. */
  loadImages(images: readonly Image[]): Promise<void>
  /** @throws Error that says why, when the cluster no longer stands: whatever failed before failed because of that */
  check(): Promise<void>
}

/** Plain data from which another process of this host gets a cluster that stands (`attachCluster` in attach.ts). */
export type ClusterHandle = LabHandle | KindHandle

interface Handle<P extends Cluster['provider'], N extends object> {
  readonly id: string
  readonly provider: P
  readonly kubeconfig: string
  readonly nodes: readonly ({ readonly name: string; readonly address: string } & N)[]
}

/** `initPid`: of the node's process 1, on this host. */
export type LabHandle = Handle<'lab', { readonly initPid: number }>

/** `container`: what the node is in the Docker. */
export interface KindHandle extends Handle<'kind', { readonly container: string }> {
  readonly docker: DockerPlace
}

export interface ClusterNode {
  readonly name: string
  /** IPv4 address on the underlay. */
  readonly address: string
  /**
   * Starts a process on the node, in the node's network, mount and process namespaces.
   * @param argv argv[0] is looked up on the node's PATH
   */
  spawn(argv: readonly string[], options?: SpawnOptions): ChildProcess
  /**
   * Starts one of the product's own TypeScript programs on the node (lab: the same file; kind: a bundle copied there), on the pinned Node.
   * @param program path from the repository's root, such as `harness/evidence/collector.ts`
   */
  runProgram(program: string, args: readonly string[]): ChildProcess
}

export interface SpawnOptions {
  /** A network namespace file as the node sees it, such as `/var/run/netns/cni-1234`; @default the node's own */
  readonly netns?: string
  readonly env?: Readonly<Record<string, string>>
}

/** An image of the mesh or of an app. `source`: folder with its code; `entry`: file in it. */
export interface Image {
  /** Reference as in a pod's spec, such as `everyhop/ztunnel:dev`. */
  readonly name: string
  readonly source: string
  readonly entry: string
}

export interface ClusterOptions {
  readonly id: string
  readonly topology: Topology
  /** Where the cluster keeps its files while it lives; made by the caller, emptied at teardown. */
  readonly directory: string
  /** Progress in words, one line each. */
  readonly onProgress?: (line: string) => void
  /** Ends the start early, with nothing left behind. */
  readonly signal?: AbortSignal
}
