import type { ChildProcess } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ApiClient, accessOf } from '../api-client.ts'
import type { Cluster, ClusterNode, ClusterOptions, Image, KindHandle } from '../cluster.ts'
import type { KubernetesObject } from '../kubernetes.ts'
import { Registry } from '../registry.ts'
import { relayed } from './api-relay.ts'
import { kindProgram, runKind } from './cli.ts'
import { containersOf, controlPlane, kindConfiguration, type NodeContainer } from './configuration.ts'
import type { Docker } from './docker/docker.ts'
import { findDocker } from './docker/find-docker.ts'
import { loadArchive } from './load-images.ts'
import { nameServerReady, placeNameServer } from './name-server.ts'
import { configureNetwork } from './network.ts'
import { attachKindNode } from './node.ts'
import { ensureNodeImage } from './node-image.ts'
import { bringNode } from './programs.ts'
import { partsOf } from './remove.ts'
import { enoughRoom } from './room.ts'

/** What says why a node did not start: the end of its own log. */
const nodeLogLines = 15

export interface KindOptions extends ClusterOptions {
  /** Reference in Docker or a registry; @default our own, built without a registry */
  readonly nodeImage?: string
  /** Where kind's output goes, to be kept; @default the cluster's own directory */
  readonly logDirectory?: string
}

/**
 * Makes a real Kubernetes cluster in Docker: a node for each of the topology's, and one for the control plane. No mesh and no apps yet.
 * @throws Error that says why, with nothing left behind
 */
export async function createKind(options: KindOptions): Promise<KindCluster> {
  const { id, topology, directory, onProgress = () => {}, signal, logDirectory = directory } = options
  const registry = Registry.open(id)
  await using undo = new AsyncDisposableStack()
  undo.defer(() => registry.teardown())
  const configuration = kindConfiguration(id, topology)
  const docker = await findDocker(onProgress)
  await enoughRoom(docker, topology.nodes.length + 1)
  const [program, image] = await Promise.all([kindProgram(onProgress), ensureNodeImage(docker, options.nodeImage, onProgress)])
  signal?.throwIfAborted()
  await refuseStranger(docker, id)
  const { host, networkOf } = docker.place
  registry.register({ kind: 'processes' })
  registry.register({ kind: 'docker', cluster: id, ...(host ? { host } : {}) })
  const containers = containersOf(id, topology.nodes)
  const config = join(directory, 'kind.yaml')
  const kubeconfig = join(directory, 'kubeconfig')
  writeFileSync(config, configuration)
  onProgress(`kind create cluster (Kubernetes ${image.version})`)
  const log = join(logDirectory, 'kind.log')
  const args = ['create', 'cluster', '--retain', '--image', image.reference, '--config', config, '--kubeconfig', kubeconfig]
  await runKind({ program, docker, cluster: id, log, signal }, args).catch(async (error: Error) => {
    signal?.throwIfAborted()
    throw new Error(`${error.message}${await lastWords(docker, containers)}\n  fix: see ${log}`)
  })
  const relay = networkOf === undefined ? undefined : await relayed(kubeconfig, networkOf, id)
  undo.defer(() => {
    if (relay?.connected) relay.disconnect()
  })
  const api = new ApiClient(accessOf(kubeconfig))
  undo.defer(() => api.close())
  onProgress('network of the nodes')
  const workers = containers.flatMap(({ name, container }) => (name === controlPlane ? [] : [container]))
  const network = async () => {
    await placeNameServer(api)
    const nodes = await configureNetwork(docker, api, containers, topology.network ?? 'ptp', signal)
    await nameServerReady(api, signal)
    return nodes.filter((node) => node.name !== controlPlane)
  }
  const [nodes] = await Promise.all([network(), bringNode(docker, workers)])
  signal?.throwIfAborted()
  undo.move()
  const handle: KindHandle = {
    id,
    provider: 'kind',
    kubeconfig,
    docker: docker.place,
    nodes: nodes.map(({ name, address, container }) => ({ name, address, container })),
  }
  return new KindCluster({ docker, registry, api, relay, onProgress, handle })
}

/** @throws Error when Docker has something under the cluster's name: it is not ours, since nothing of ours is made yet */
async function refuseStranger(docker: Docker, id: string): Promise<void> {
  const { containers, networks } = await partsOf(docker, id)
  const there = [...containers, ...networks]
  if (there.length > 0) throw new Error(`Docker has something called ${id} that is not ours: ${there.join(', ')}; fix: remove or rename it`)
}

/** The end of each node's own log. */
async function lastWords(docker: Docker, containers: readonly NodeContainer[]): Promise<string> {
  const logs = containers.map(async ({ container }) => {
    // From a terminal, whose lines end so.
    const log = (await docker.run(['logs', '--tail', String(nodeLogLines), container]).catch(() => '')).replaceAll('\r', '').trim()
    return log && `\n${container}:\n${log}`
  })
  return (await Promise.all(logs)).join('')
}

interface Parts {
  readonly docker: Docker
  readonly registry: Registry
  readonly api: ApiClient
  readonly relay: ChildProcess | undefined
  readonly handle: KindHandle
  readonly onProgress: (line: string) => void
}

export class KindCluster implements Cluster {
  readonly id: string
  readonly provider = 'kind'
  readonly nodes: readonly ClusterNode[]
  readonly kubeconfig: string
  readonly handle: KindHandle
  readonly #parts: Parts
  #ending: Promise<void> | undefined

  constructor(parts: Parts) {
    const { handle } = parts
    this.#parts = parts
    this.handle = handle
    this.id = handle.id
    this.kubeconfig = handle.kubeconfig
    this.nodes = handle.nodes.map((node) => attachKindNode(node, handle.docker, handle.id))
  }

  async apply(objects: readonly KubernetesObject[]): Promise<void> {
    for (const object of objects) await this.#parts.api.apply(object)
  }

  async delete(objects: readonly KubernetesObject[]): Promise<void> {
    for (const object of objects) await this.#parts.api.delete(object)
  }

  async loadImages(images: readonly Image[]): Promise<void> {
    if (images.length === 0) return
    const { docker, onProgress } = this.#parts
    // Only then: what builds images brings a bundler.
    const { buildImages } = await import('./images/build-images.ts')
    const built = await buildImages(images, { onProgress })
    // On the control plane too: the mesh's DaemonSets run on every node.
    const { containers } = await partsOf(docker, this.id)
    await loadArchive(docker, containers, built)
  }

  async check(): Promise<void> {
    const { docker, relay, api, handle } = this.#parts
    if (relay && relay.exitCode !== null) throw new Error(`the relay to the API server of cluster ${this.id} ended`)
    const { containers } = await partsOf(docker, this.id).catch((error: Error) => {
      throw new Error(`cluster ${this.id} cannot be reached: ${error.message}`)
    })
    const gone = handle.nodes.filter((node) => !containers.includes(node.container))
    if (gone.length > 0) throw new Error(`cluster ${this.id} has lost its nodes ${gone.map((n) => n.name).join(', ')}`)
    const states = await docker.lines(['inspect', '--format', '{{.Name}} {{.State.Status}}', ...containers])
    const stopped = states.filter((line) => !line.endsWith(' running'))
    if (stopped.length > 0) throw new Error(`nodes of cluster ${this.id} do not run: ${stopped.join(', ')}`)
    await api.text('GET', '/readyz')
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#ending ??= this.#end()
    return this.#ending
  }

  async #end(): Promise<void> {
    const { api, relay, registry } = this.#parts
    api.close()
    if (relay?.connected) relay.disconnect()
    await registry.teardown()
  }
}
