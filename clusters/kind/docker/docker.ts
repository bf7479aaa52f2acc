import { type ChildProcess, spawn } from 'node:child_process'
import { execa } from 'execa'

/** Where a Docker daemon is: plain data. */
export interface DockerPlace {
  /** For `DOCKER_HOST`; absent: what the docker command takes by itself. */
  readonly host?: string | undefined
  /** A process of this host whose network the daemon's published ports are in; absent: this host's own. */
  readonly networkOf?: number | undefined
}

/** A docker command that ended badly: the command, and what it said. */
export class DockerError extends Error {
  override name = 'DockerError'
}

/** PATH, and the administrator's directories that a plain user's PATH lacks. */
export const searchPath = (): string => [process.env.PATH, '/usr/local/sbin', '/usr/sbin', '/sbin'].filter(Boolean).join(':')

/** The docker command, for one daemon. */
export class Docker {
  readonly place: DockerPlace

  constructor(place: DockerPlace) {
    this.place = place
  }

  /** What a program that calls docker, such as kind, needs in its environment. No proxies: nodes would take them over. */
  get environment(): Record<string, string> {
    const { HOME = '/root', XDG_RUNTIME_DIR, DOCKER_CONTEXT, DOCKER_CONFIG } = process.env
    const { host } = this.place
    const given = host ? { DOCKER_HOST: host } : { DOCKER_CONTEXT, DOCKER_CONFIG, XDG_RUNTIME_DIR }
    const set = Object.entries(given).filter((entry): entry is [string, string] => entry[1] !== undefined)
    return { PATH: searchPath(), HOME, ...Object.fromEntries(set) }
  }

  /**
   * Runs one command to its end.
   * @param inputFile goes to its standard input; @default nothing
   * @returns its standard output, without the last line's end
   * @throws DockerError
   */
  async run(args: readonly string[], { inputFile, signal }: { inputFile?: string; signal?: AbortSignal } = {}): Promise<string> {
    const result = await execa('docker', args, {
      env: this.environment,
      extendEnv: false,
      reject: false,
      maxBuffer: 64 << 20,
      ...(inputFile ? { inputFile } : { stdin: 'ignore' }),
      ...(signal ? { cancelSignal: signal } : {}),
    })
    if (!result.failed) return result.stdout
    signal?.throwIfAborted()
    const how = result.exitCode === undefined ? (result.originalMessage ?? `signal ${result.signal}`) : `exit code ${result.exitCode}`
    throw new DockerError(`docker ${args.join(' ')}: ${how}: ${`${result.stderr}`.trim() || 'no message'}`)
  }

  /** Lines of the answer. @throws DockerError */
  async lines(args: readonly string[]): Promise<string[]> {
    return (await this.run(args)).split('\n').filter(Boolean)
  }

  /** Starts a command whose three streams are pipes. */
  spawn(args: readonly string[], mark: Readonly<Record<string, string>> = {}): ChildProcess {
    return spawn('docker', args, { env: { ...this.environment, ...mark }, stdio: ['pipe', 'pipe', 'pipe'] })
  }
}
