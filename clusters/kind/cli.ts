import { appendFileSync, existsSync, mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { execa } from 'execa'
import { ownerVariable } from '../processes.ts'
import type { Docker } from './docker/docker.ts'
import { onPath } from './docker/find-docker.ts'
import { goProgram } from './go.ts'
import { cacheDirectory } from './node-image/step.ts'
import { versions } from './node-image/versions.ts'

/** Lines of kind's own words that an error tells. */
const lastLines = 25

/** The kind command: the one on PATH, else of a pinned version, built into the cache. @throws Error with the fix */
export async function kindProgram(onProgress: (line: string) => void): Promise<string> {
  if (onPath('kind')) return 'kind'
  const directory = join(cacheDirectory(), 'bin')
  const program = join(directory, `kind-${versions.kind}`)
  if (existsSync(program)) return program
  const go = await goProgram(onProgress).catch((error: Error) => {
    throw new Error(`kind is not on PATH and cannot be built: ${error.message}`)
  })
  onProgress(`building kind ${versions.kind}`)
  const own = join(directory, `build-${process.pid}`)
  mkdirSync(own, { recursive: true })
  try {
    await execa(go, ['install', `sigs.k8s.io/kind@${versions.kind}`], { cwd: '/', env: { GOBIN: own, CGO_ENABLED: '0' } })
    await execa('mv', [join(own, 'kind'), program])
  } finally {
    await execa('rm', ['-rf', own])
  }
  return program
}

export interface KindCommand {
  readonly program: string
  readonly docker: Docker
  /** Name of the cluster, of its network, and owner of the processes. */
  readonly cluster: string
  /** Takes kind's output. */
  readonly log: string
  readonly signal?: AbortSignal | undefined
}

/** Runs a command of kind to its end; what it says goes into the log as it says it. @throws Error with its last words */
export async function runKind(command: KindCommand, args: readonly string[]): Promise<void> {
  const { program, docker, cluster, log, signal } = command
  appendFileSync(log, `$ kind ${args.join(' ')}\n`)
  const result = await execa(program, args, {
    // A network of the cluster's own goes with it; kind's usual one is everybody's and stays.
    env: { ...docker.environment, KIND_EXPERIMENTAL_DOCKER_NETWORK: cluster, [ownerVariable]: cluster },
    extendEnv: false,
    stdin: 'ignore',
    stdout: { file: log, append: true },
    stderr: { file: log, append: true },
    reject: false,
    buffer: false,
    ...(signal ? { cancelSignal: signal } : {}),
  })
  signal?.throwIfAborted()
  if (!result.failed) return
  const how = result.exitCode === undefined ? (result.originalMessage ?? `signal ${result.signal}`) : `exit code ${result.exitCode}`
  throw new Error(`kind ${args[0]} ${args[1]} ended with ${how}:\n${endOf(log)}`)
}

const endOf = (file: string) => readFileSync(file, 'utf8').trim().split('\n').slice(-lastLines).join('\n')
