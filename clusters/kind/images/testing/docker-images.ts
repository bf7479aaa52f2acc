import { closeSync, mkdirSync, mkdtempSync, openSync } from 'node:fs'
import { connect, createServer, Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { GenericContainer, type StartedTestContainer } from 'testcontainers'
import { AF_INET, SOCK_STREAM } from '../../../../images/lib/libc.ts'
import { socketInNetns } from '../../../../images/lib/netns.ts'
import { appImages, meshImages } from '../../../images.ts'
import { listOwners, newOwnerId, Registry } from '../../../registry.ts'
import type { Docker } from '../../docker/docker.ts'
import { findDocker } from '../../docker/find-docker.ts'
import { buildImages } from '../build-images.ts'

type Name = 'cni' | 'ztunnel' | 'discovery' | 'sleep' | 'httpbin'

/** Our images in a Docker, under names that are this process's own; what was started of them, their names and files are gone when it is disposed. */
export class DockerImages implements AsyncDisposable {
  readonly docker: Docker
  readonly #id = newOwnerId()
  readonly #registry = Registry.open(this.#id, 'tests of images')
  readonly #directory = join(tmpdir(), `everyhop-images-${this.#id}`)
  readonly #closers: (() => void)[] = []
  #containers = 0

  static async load(): Promise<DockerImages> {
    const docker = await findDocker()
    const all = [...meshImages, ...appImages]
    const { archive } = await buildImages(all.map((image) => ({ ...image, name: `everyhop-test/${basename(image.source)}:dev` })))
    const images = new DockerImages(docker)
    await images.#forgetNames()
    await docker.run(['load', '--input', archive])
    for (const { source } of all) await docker.run(['tag', `everyhop-test/${basename(source)}:dev`, images.#name(basename(source))])
    forTestcontainers(docker)
    return images
  }

  private constructor(docker: Docker) {
    this.docker = docker
    const { host } = docker.place
    this.#registry.register({ kind: 'docker', cluster: this.#id, ...(host ? { host } : {}) })
    this.#registry.register({ kind: 'directory', path: this.#directory })
    mkdirSync(this.#directory)
  }

  #name(image: string): string {
    return `${this.#id}/${image}:dev`
  }

  /** A container of an image as Kubernetes starts it: root read-only, without capabilities but those given. */
  container(name: Name, capabilities: readonly string[] = []): SealedContainer {
    const container = new SealedContainer(this.#name(name)).withName(`${this.#id}-${this.#containers++}`)
    return container.withDroppedCapabilities('ALL').withAddedCapabilities(...capabilities) as SealedContainer
  }

  /** A folder that containers can have mounted. */
  folder(name: string): string {
    return mkdtempSync(join(this.#directory, `${name}-`))
  }

  /** File of a container's network namespace, as this process opens it. */
  async netns(container: StartedTestContainer): Promise<string> {
    const path = await this.docker.run(['inspect', '--format', '{{.NetworkSettings.SandboxKey}}', container.getId()])
    if (!path) throw new Error(`${container.getName()} has no network of its own: ask for that of the container whose network it shares`)
    const { networkOf } = this.docker.place
    return networkOf === undefined ? path : `/proc/${networkOf}/root${path}`
  }

  /** A socket in a container's network, bound to its loopback, to listen on. */
  async listener(container: StartedTestContainer, port: number): Promise<number> {
    const netns = openSync(await this.netns(container), 'r')
    try {
      return socketInNetns(netns, AF_INET, SOCK_STREAM, { bind: { address: '127.0.0.1', port }, reuseAddress: true })
    } finally {
      closeSync(netns)
    }
  }

  /** @returns a port of this process's own loopback that leads to one of the container's */
  async relay(container: StartedTestContainer, port: number): Promise<number> {
    const netns = openSync(await this.netns(container), 'r')
    const server = createServer((from) => {
      const to = new Socket({ fd: socketInNetns(netns, AF_INET, SOCK_STREAM) })
      to.connect({ host: '127.0.0.1', port })
      for (const [one, other] of [
        [from, to],
        [to, from],
      ] as const) {
        one.on('error', () => other.destroy())
        one.pipe(other)
      }
    })
    this.#closers.push(() => {
      server.close()
      closeSync(netns)
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    return (server.address() as { port: number }).port
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const close of this.#closers) close()
    await this.#registry.teardown()
    await this.#forgetNames()
  }

  /** Removes the names that this process and dead ones have given to images. */
  async #forgetNames(): Promise<void> {
    const others = listOwners().map(({ id }) => id)
    const names = await this.docker.lines(['images', '--format', '{{.Repository}}:{{.Tag}}'])
    const ours = names.filter((name) => /^eh-[0-9a-f]{8}\//.test(name) && !others.includes(name.split('/')[0]!))
    if (ours.length > 0) await this.docker.run(['rmi', ...ours, ...names.filter((name) => name.startsWith('everyhop-test/'))])
  }
}

/** Has testcontainers use this Docker, before it is first used. */
export function forTestcontainers({ place }: Docker): void {
  // Its helper that removes containers comes from a registry; ours are removed by name.
  process.env.TESTCONTAINERS_RYUK_DISABLED = 'true'
  if (place.host) process.env.DOCKER_HOST = place.host
}

/** With what Kubernetes can ask for and testcontainers has no word for. */
class SealedContainer extends GenericContainer {
  constructor(image: string) {
    super(image)
    this.hostConfig.ReadonlyRootfs = true
  }

  /** In another container's process namespace. */
  withProcessesOf(container: StartedTestContainer): this {
    this.hostConfig.PidMode = `container:${container.getId()}`
    return this
  }
}

/** Sends one line over a UNIX socket and waits for the answer, a line too. */
export function askOverSocket(path: string, line: object): Promise<Record<string, unknown>> {
  return new Promise((resolve, reject) => {
    let text = ''
    const socket = connect(path, () => socket.write(`${JSON.stringify(line)}\n`))
    socket.on('error', reject)
    socket.on('data', (data) => {
      text += data
      if (!text.includes('\n')) return
      socket.destroy()
      resolve(JSON.parse(text) as Record<string, unknown>)
    })
    socket.on('end', () => reject(new Error(`${path}: closed without an answer`)))
  })
}
