import { accessSync, constants, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { execa } from 'execa'
import { startDaemon } from './daemon.ts'
import { Docker, searchPath } from './docker.ts'
import { exitProgram } from './exit-program.ts'

/** No Docker can be had: what was looked at, and the fix. */
export class NoDockerError extends Error {
  override name = 'NoDockerError'
}

/** A daemon that does not answer in this time will not, milliseconds. */
const answerMs = 5000

/**
 * The Docker to make clusters in: the user's when one answers and can run what kind asks of it; else, for root, our own daemon, started if need be.
 * @param onProgress told why it is not the user's
 * @throws NoDockerError
 */
export async function findDocker(onProgress: (line: string) => void = () => {}): Promise<Docker> {
  if (!onPath('docker'))
    throw new NoDockerError('the docker command is not on PATH; fix: everyhop doctor --fix (Debian: apt-get install docker.io)')
  const users = await usersDocker()
  if (users instanceof Docker) return users
  const fix = 'fix: start Docker, or start everyhop as root: it then runs a Docker daemon of its own'
  if (process.getuid?.() !== 0) throw new NoDockerError(`${users}; ${fix}`)
  if (!onPath('dockerd'))
    throw new NoDockerError(
      `${users}, and there is no dockerd to run one of our own; fix: everyhop doctor --fix (Debian: apt-get install docker.io)`,
    )
  onProgress(`${users}: using a Docker daemon of our own`)
  return startDaemon()
}

/** @returns the user's Docker, or in words why it cannot be used */
export async function usersDocker(): Promise<Docker | string> {
  const host = process.env.DOCKER_HOST
  if (host && !host.startsWith('unix://')) return `DOCKER_HOST=${host} is another machine's, whose clusters cannot be reached from here`
  const docker = new Docker(host ? { host } : {})
  try {
    await docker.run(['version', '--format', '{{.Server.Version}}'], { signal: AbortSignal.timeout(answerMs) })
  } catch {
    return `no Docker daemon answers at ${host ?? 'its usual place'}`
  }
  try {
    await runsPrivileged(docker)
    return docker
  } catch (error) {
    return `the Docker that answers at ${host ?? 'its usual place'} cannot run a privileged container (${(error as Error).message})`
  }
}

/** Runs a program that only ends, as kind runs nodes, in an image that is made for it. @throws DockerError with the daemon's reason */
export async function runsPrivileged(docker: Docker): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'everyhop-probe-'))
  const image = `everyhop/probe:${process.pid}-${Date.now()}`
  try {
    writeFileSync(join(directory, 'exit'), exitProgram(), { mode: 0o755 })
    await execa('tar', ['-C', directory, '-cf', join(directory, 'image.tar'), 'exit'])
    await docker.run(['import', join(directory, 'image.tar'), image])
    await docker.run(['run', '--rm', '--privileged', '--network', 'none', image, '/exit'])
  } finally {
    await docker.run(['rmi', '--force', image]).catch(() => {})
    rmSync(directory, { recursive: true })
  }
}

export function onPath(tool: string): boolean {
  return searchPath()
    .split(delimiter)
    .some((directory) => {
      try {
        accessSync(join(directory, tool), constants.X_OK)
        return directory !== ''
      } catch {
        return false
      }
    })
}
