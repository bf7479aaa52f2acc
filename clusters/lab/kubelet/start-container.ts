import { readFileSync } from 'node:fs'
import type { LabNode } from '../node/node.ts'
import { type Owned, ownedEnvironment } from '../node/owned.ts'
import type { KubeletApi } from './api.ts'
import { RunningContainer } from './container.ts'
import { ContainerError } from './container-life.ts'
import { environment, expand } from './environment.ts'
import { etcFiles } from './etc-files.ts'
import type { Container, Pod } from './pod.ts'
import { hostName, type Sandbox } from './sandbox.ts'
import { securityOf } from './security.ts'
import type { Turns } from './turns.ts'
import type { PodVolumes } from './volumes.ts'

/** What an image's name stands for: the command that its container runs (a container image's ENTRYPOINT). */
export type ImageTable = ReadonlyMap<string, { readonly argv: readonly string[] }>

export interface KubeletContext {
  readonly node: LabNode
  readonly api: KubeletApi
  readonly owned: Owned
  /** The images that the node has. */
  readonly images: () => ImageTable
  /** The API server's service, which pods find in their environment. */
  readonly service: { readonly host: string; readonly port: number }
  /** Sandboxes are made in turns: a CNI plugin that gets no processor time runs into its time limit, and all its work was for nothing. */
  readonly sandboxTurns: Turns
}

/** Turns a container of a pod's spec into a running one. @throws ContainerError or MissingReference */
export function startContainer(
  context: KubeletContext,
  pod: Pod,
  spec: Container,
  attempt: number,
  made: { sandbox: Sandbox; volumes: PodVolumes; podIPs: readonly string[] },
): Promise<RunningContainer> {
  const { node, api, owned, service } = context
  const image = context.images().get(spec.image ?? '')
  if (!image) {
    const message = `Container image ${JSON.stringify(spec.image)} is not present with pull policy of Never (node ${node.name} has no registry)`
    throw new ContainerError('ErrImageNeverPull', message)
  }
  if (pod.spec.hostPID || pod.spec.shareProcessNamespace)
    throw new ContainerError('CreateContainerConfigError', "hostPID and shareProcessNamespace are not supported by the lab's kubelet")
  const base = {
    ...ownedEnvironment(owned),
    HOSTNAME: pod.spec.hostNetwork ? node.name : hostName(pod),
    KUBERNETES_SERVICE_HOST: service.host,
    KUBERNETES_SERVICE_PORT: String(service.port),
    KUBERNETES_SERVICE_PORT_HTTPS: String(service.port),
    KUBERNETES_PORT: `tcp://${service.host}:${service.port}`,
  }
  const facts = { pod, hostIP: node.address, podIPs: made.podIPs }
  const env = environment(spec, facts, api, base)
  const expanded = (words: readonly string[] = []) => words.map((word) => expand(word, env))
  // command stands for ENTRYPOINT, args for CMD, as in Kubernetes.
  const argv = [...(spec.command ? expanded(spec.command) : image.argv), ...expanded(spec.args)]
  const file = (path: string) => readFileSync(node.hostPath(path), 'utf8')
  const nodeFiles = { hosts: file('/etc/hosts'), hostname: file('/etc/hostname'), resolver: file('/etc/resolv.conf') }
  return RunningContainer.start({
    node,
    sandbox: made.sandbox,
    pod,
    name: spec.name,
    argv,
    env,
    volumes: made.volumes.mountsOf(pod, spec),
    security: configured(() => securityOf(pod.spec, spec)),
    workingDirectory: spec.workingDir ?? '/',
    etc: etcFiles(pod, made.podIPs[0] ?? '', nodeFiles),
    attempt,
  })
}

function configured<T>(read: () => T): T {
  try {
    return read()
  } catch (error) {
    throw new ContainerError('CreateContainerConfigError', (error as Error).message)
  }
}
