import { type LogFilter, type LogLevel, logLevels } from './log-filter.ts'

/** A value that is printed without quotes although it is text: addresses, as upstream prints them. */
export class Bare {
  readonly text: string
  constructor(text: string) {
    this.text = text
  }
}
export const bare = (text: string): Bare => new Bare(text)

export type Fields = Readonly<Record<string, string | number | boolean | Bare | undefined>>
export type Log = (level: LogLevel, scope: string, message: string, fields?: Fields) => void

export interface LogOptions {
  readonly format: 'plain' | 'json'
  readonly filter: LogFilter
  /** Where a finished line goes, newline included. */
  readonly write: (line: string) => void
}

/**
 * Upstream's line: `<RFC 3339, microseconds, Z>\t<level>\t<scope>\t<message>\t<k=v k=v …>`; text values quoted, numbers and addresses bare.
 * As JSON: one object with `level`, `time`, `scope`, `message` and the fields. The level of all scopes without one of their own can be changed while it runs.
 */
export function createLog(options: LogOptions): { log: Log; level: LogLevel } {
  const state = {
    level: options.filter.level,
    log(level: LogLevel, scope: string, message: string, fields: Fields = {}) {
      if (logLevels.indexOf(level) > logLevels.indexOf(options.filter.scopes[scope] ?? state.level)) return
      const time = timestamp()
      options.write(options.format === 'json' ? json(time, level, scope, message, fields) : plain(time, level, scope, message, fields))
    },
  }
  return state
}

function plain(time: string, level: LogLevel, scope: string, message: string, fields: Fields): string {
  let tail = ''
  for (const [name, value] of Object.entries(fields)) {
    if (value === undefined) continue
    tail += `${tail === '' ? '\t' : ' '}${name}=${value instanceof Bare ? value.text : typeof value === 'string' ? JSON.stringify(value) : value}`
  }
  // A line of fields only has no message, and no tab for it.
  const text = message === '' ? tail.slice(1) : `${message.includes('\n') ? JSON.stringify(message) : message}${tail}`
  return `${time}\t${level}\t${scope}\t${text}\n`
}

function json(time: string, level: LogLevel, scope: string, message: string, fields: Fields): string {
  const object: Record<string, unknown> = { level, time, scope, ...(message !== '' && { message }) }
  for (const [name, value] of Object.entries(fields)) if (value !== undefined) object[name] = value instanceof Bare ? value.text : value
  return `${JSON.stringify(object)}\n`
}

let offset = performance.timeOrigin

/** Wall clock with microseconds: the monotonic clock, put right when the wall clock was set. */
function timestamp(): string {
  const wall = Date.now()
  if (Math.abs(offset + performance.now() - wall) > 20) offset = wall - performance.now()
  const now = offset + performance.now()
  const micros = Math.floor((now - Math.floor(now)) * 1000)
  return new Date(now).toISOString().replace('Z', `${String(micros).padStart(3, '0')}Z`)
}

const limit = 8 << 20

/** Lines to standard output, one write a turn. A reader that is 8 MiB behind loses lines, and is told how many. */
export function stdoutWriter(): (line: string) => void {
  let batch = ''
  let lost = 0
  const flush = () => {
    if (process.stdout.writableLength > limit) {
      lost += batch.split('\n').length - 1
      batch = ''
      return
    }
    if (lost > 0) batch += `${new Date().toISOString()}\twarn\tlog\tlines lost because the reader was too slow\tlines=${lost}\n`
    lost = 0
    process.stdout.write(batch)
    batch = ''
  }
  // A reader that went away must not end the data plane.
  process.stdout.on('error', () => {})
  process.on('exit', () => batch !== '' && flush())
  return (line) => {
    if (batch === '') setImmediate(flush)
    batch += line
  }
}
