import { execa } from 'execa'

export interface CommandResult {
  readonly stdout: string
  readonly stderr: string
  readonly exitCode: number
}

/** A command that could not run or did not do its work; the message holds the command, where it ran, its exit code and its stderr. */
export class CommandError extends Error {
  readonly result: CommandResult
  constructor(argv: readonly string[], where: string, result: CommandResult) {
    super(`\`${argv.join(' ')}\` in ${where}: exit code ${result.exitCode}: ${result.stderr.trim() || '(no message)'}`)
    this.name = 'CommandError'
    this.result = result
  }
}

/** Where a command runs: a namespace file such as `/host/proc/1/ns/net`, or an open descriptor of one. */
export type Netns = string | number

// `/proc/PID/fd/N` and not `/proc/self/…`: it is nsenter that opens it.
export const netnsPath = (netns: Netns) => (typeof netns === 'string' ? netns : `/proc/${process.pid}/fd/${netns}`)

/**
 * Runs a program inside a network namespace (only the network: files, processes and the program itself are this process's).
 * Resolves whatever the exit code; 127 means that the program is not there.
 * @param input text for its stdin
 */
export async function tryIn(netns: Netns, argv: readonly string[], input = ''): Promise<CommandResult> {
  const result = await execa('nsenter', [`--net=${netnsPath(netns)}`, '--', ...argv], {
    input,
    reject: false,
    stripFinalNewline: false,
    timeout: 20_000,
    env: { LC_ALL: 'C' },
  })
  return {
    stdout: result.stdout,
    stderr: result.stderr || (result.exitCode === undefined ? (result.shortMessage ?? '') : ''),
    exitCode: result.exitCode ?? -1,
  }
}

/** As tryIn, and throws CommandError unless the exit code is 0. */
export async function runIn(netns: Netns, argv: readonly string[], input = ''): Promise<string> {
  const result = await tryIn(netns, argv, input)
  if (result.exitCode !== 0) throw new CommandError(argv, `network namespace ${netnsPath(netns)}`, result)
  return result.stdout
}

/** As Promise.all, but an error is thrown only when all have ended: nothing goes on in the background. */
export async function settle<T>(work: readonly Promise<T>[]): Promise<T[]> {
  const results = await Promise.allSettled(work)
  return results.map((r) => {
    if (r.status === 'rejected') throw r.reason
    return r.value
  })
}
