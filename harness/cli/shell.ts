import { spawn } from 'node:child_process'
import { constants } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { findPlace, PlaceError } from '../../clusters/shell.ts'
import { findStanding, StandingError } from '../../clusters/standing.ts'
import { usage } from './run.ts'

const root = join(import.meta.dirname, '../..')

/**
 * `everyhop shell PLACE [-- COMMAND…]`: a shell, or one command, in the namespaces of a node or pod of a cluster that is up.
 * @returns the command's own exit code; 128 and the signal's number when it was ended by one
 */
export async function shell(where: string, command: readonly string[], { cluster }: { cluster?: string }): Promise<number> {
  let place: Awaited<ReturnType<typeof findPlace>>
  let owner: string
  try {
    const { handle } = findStanding(cluster)
    owner = handle.id
    place = await findPlace(handle, where)
  } catch (error) {
    if (!(error instanceof StandingError || error instanceof PlaceError)) throw error
    return usage(error.message)
  }
  const interactive = command.length === 0
  if (interactive && process.stdin.isTTY)
    process.stderr.write(`This is ${place.what}. Try: ip addr, ss -tlnp, iptables-save, nft monitor trace. End it with exit.\n`)
  const [file = '', ...args] = [...place.enter, ...(interactive ? ['bash', '--norc'] : command)]
  // Ctrl-C is for what runs in there, and reaches it from the terminal itself.
  for (const signal of ['SIGINT', 'SIGQUIT'] as const) process.on(signal, () => {})
  const child = spawn(file, args, { stdio: 'inherit', env: { ...process.env, ...environment(place.name), EVERYHOP_OWNER: owner } })
  process.on('SIGTERM', () => child.kill('SIGTERM'))
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', (code, signal) => resolve(signal ? 128 + constants.signals[signal] : (code ?? 0)))
  })
}

/** The run's tools on PATH: the administrator's directories, the pinned Node and our own command. */
function environment(name: string): Record<string, string> {
  const own = [join(root, 'bin'), dirname(process.execPath)]
  const system = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin']
  const given = (process.env.PATH ?? '').split(delimiter)
  return {
    PATH: [...new Set([...given, ...system, ...own])].filter(Boolean).join(delimiter),
    PS1: `[${name}] \\w # `,
    EVERYHOP_PLACE: name,
  }
}
