import { existsSync, rmSync } from 'node:fs'
import { listOwners } from '../registry.ts'
import { containersInDaemon, daemonDirectory, stopDaemon } from './docker/daemon.ts'
import { Docker } from './docker/docker.ts'
import { onPath } from './docker/find-docker.ts'
import { cacheDirectory } from './node-image/step.ts'

/** Our images in a Docker that is not ours. */
const ours = 'everyhop/*'

/**
 * Removes what was built to be used again: node image, images, kind, and our Docker daemon with all that it has stored.
 * @returns what was removed, one line each
 * @throws Error when a cluster still needs it
 */
export async function removeCache(): Promise<string[]> {
  const using = listOwners().filter((owner) => owner.alive && owner.resources.some((r) => r.kind === 'docker'))
  if (using.length > 0)
    throw new Error(`the cache is in use by ${using.map((o) => o.label ?? o.id).join(', ')}; fix: end that first (everyhop down --all)`)
  const containers = await containersInDaemon()
  if (containers.length > 0)
    throw new Error(`our Docker daemon still has containers: ${containers.join(', ')}; fix: end what they are of first`)
  const removed: string[] = []
  const daemon = daemonDirectory()
  if (await stopDaemon(daemon)) removed.push(`Docker daemon in ${daemon}`)
  const users = new Docker(process.env.DOCKER_HOST ? { host: process.env.DOCKER_HOST } : {})
  // Where none answers there are none.
  const images = onPath('docker') ? await users.lines(['images', '--format', '{{.Repository}}:{{.Tag}}', ours]).catch(() => []) : []
  if (images.length > 0) await users.run(['rmi', '--force', ...images])
  removed.push(...images.map((name) => `image ${name}`))
  if (existsSync(cacheDirectory())) {
    rmSync(cacheDirectory(), { recursive: true })
    removed.push(`directory ${cacheDirectory()}`)
  }
  return removed
}
