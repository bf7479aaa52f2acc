import { setTimeout as sleep } from 'node:timers/promises'
import { daemonDirectory, hostOf, removeContainerFiles } from './docker/daemon.ts'
import { Docker } from './docker/docker.ts'

/** kind's mark on the containers of a cluster (its pkg/cluster/internal/providers/docker/constants.go). */
const clusterLabel = 'io.x-k8s.kind.cluster'

/** Between the two looks that must find nothing, milliseconds: a container whose maker was killed meanwhile may still come. */
const lookAgainMs = 300

/** What a cluster of kind is made of in a Docker: its containers and its network, by the cluster's name. */
export interface DockerCluster {
  readonly cluster: string
  readonly host?: string | undefined
}

/** Names of what is there. @throws DockerError when the Docker does not answer */
export async function partsOf(docker: Docker, cluster: string): Promise<{ containers: string[]; networks: string[] }> {
  const [labelled, named, networks] = await Promise.all([
    docker.lines(['ps', '--all', '--format', '{{.Names}}', '--filter', `label=${clusterLabel}=${cluster}`]),
    docker.lines(['ps', '--all', '--format', '{{.Names}}', '--filter', `name=^${cluster}-`]),
    docker.lines(['network', 'ls', '--format', '{{.Name}}', '--filter', `name=^${cluster}$`]),
  ])
  return { containers: [...new Set([...labelled, ...named])].sort(), networks }
}

/**
 * Removes a cluster's containers with their volumes, and its network.
 * @returns what was removed, one line each
 * @throws Error that names what stays, with the fix
 */
export async function removeCluster({ cluster, host }: DockerCluster): Promise<string[]> {
  // All of them have ended with our daemon if that has; what they had written may still be there.
  if (host === hostOf(daemonDirectory()) && (await removeContainerFiles())) return []
  const docker = new Docker(host ? { host } : {})
  const removed: string[] = []
  try {
    for (let empty = 0; empty < 2; ) {
      const { containers, networks } = await partsOf(docker, cluster)
      if (containers.length + networks.length > 0) {
        empty = 0
        if (containers.length > 0) await docker.run(['rm', '--force', '--volumes', ...containers])
        if (networks.length > 0) await docker.run(['network', 'rm', ...networks])
        removed.push(...containers.map((name) => `container ${name}`), ...networks.map((name) => `network ${name}`))
      } else if (++empty === 1) await sleep(lookAgainMs)
    }
    return removed
  } catch (error) {
    throw new Error(
      `cluster ${cluster} in Docker cannot be removed: ${(error as Error).message}; fix: start that Docker, then everyhop clean`,
    )
  }
}
