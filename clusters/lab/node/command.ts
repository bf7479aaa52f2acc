import { execa } from 'execa'

/** A command that ended badly: the whole command line, how it ended, and what it said. */
export class CommandError extends Error {
  override name = 'CommandError'
}

/**
 * Runs a command of this host to its end.
 * @param input written to its standard input; @default nothing
 * @param env its whole environment; @default this process's own
 * @returns its standard output
 * @throws CommandError
 */
export async function command(argv: readonly string[], input = '', env?: Readonly<Record<string, string>>): Promise<string> {
  const [file = '', ...args] = argv
  const result = await execa(file, args, { input, reject: false, stripFinalNewline: false, ...(env && { env, extendEnv: false }) })
  if (result.failed) {
    const how = result.exitCode === undefined ? (result.originalMessage ?? `signal ${result.signal}`) : `exit code ${result.exitCode}`
    throw new CommandError(`${argv.join(' ')}: ${how}: ${`${result.stderr}`.trim() || 'no message'}`)
  }
  return result.stdout
}
