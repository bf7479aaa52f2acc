import type { LoadCommand, StopCommand } from '../lib/load-protocol.ts'

/** A line that is about a load: what it asks for, or what is wrong with it. undefined: it is none, but a request or rubbish. */
export type LoadLine =
  | { readonly start: LoadCommand }
  | { readonly stop: StopCommand }
  | { readonly id: string; readonly problem: string }
  | undefined

/** Reads one line of the control socket. Unknown fields are ignored. */
export function parseLoadLine(line: string): LoadLine {
  let value: unknown
  try {
    value = JSON.parse(line)
  } catch {
    return undefined
  }
  if (typeof value !== 'object' || value === null || !('load' in value || 'stop' in value)) return undefined
  const { id, load, stop } = value as Record<string, unknown>
  if (typeof id !== 'string' || id === '') return { id: '', problem: 'id must be a string that is not empty' }
  if (stop !== undefined)
    return typeof stop === 'string' ? { stop: { id, stop } } : { id, problem: `stop must be the id of a load, is ${JSON.stringify(stop)}` }
  if (typeof load !== 'object' || load === null) return { id, problem: `load must be an object, is ${JSON.stringify(load)}` }
  const { mark, host, port, path, connections, everyMs, atOnce, least, restAfter, timeoutMs } = load as Record<string, unknown>
  const problems = [
    (typeof mark !== 'string' || !/^[A-Za-z0-9]{8,64}$/.test(mark)) &&
      `mark must be 8 to 64 letters and digits, is ${JSON.stringify(mark)}`,
    (typeof host !== 'string' || host === '') && `host must be an address or a name, is ${JSON.stringify(host)}`,
    path !== undefined && (typeof path !== 'string' || !/^\/[!-~]*$/.test(path)) && `path must begin with /, is ${JSON.stringify(path)}`,
    connections !== 'new' && !within(connections, 1, 1000) && `connections must be "new" or 1 to 1000, is ${JSON.stringify(connections)}`,
    !within(port, 1, 65_535) && wrongNumber('port', port, 1, 65_535),
    !within(everyMs, 0, 60_000) && wrongNumber('everyMs', everyMs, 0, 60_000),
    !within(atOnce, 1, 10_000) && wrongNumber('atOnce', atOnce, 1, 10_000),
    !within(least, 0, 10_000_000) && wrongNumber('least', least, 0, 10_000_000),
    restAfter !== undefined && !within(restAfter, 1, 10_000_000) && wrongNumber('restAfter', restAfter, 1, 10_000_000),
    !within(timeoutMs, 1, 3_600_000) && wrongNumber('timeoutMs', timeoutMs, 1, 3_600_000),
  ].filter((x) => x !== false)
  return problems.length > 0 ? { id, problem: problems.join('; ') } : { start: value as LoadCommand }
}

const wrongNumber = (name: string, value: unknown, low: number, high: number) =>
  `${name} must be a whole number from ${low} to ${high}, is ${JSON.stringify(value)}`

const within = (value: unknown, low: number, high: number) =>
  Number.isInteger(value) && (value as number) >= low && (value as number) <= high
