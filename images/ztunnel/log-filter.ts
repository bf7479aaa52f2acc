export const logLevels = ['error', 'warn', 'info', 'debug', 'trace'] as const
export type LogLevel = (typeof logLevels)[number]

/** Which lines are written: those of a level, and of some scopes another. */
export interface LogFilter {
  readonly level: LogLevel
  readonly scopes: Readonly<Record<string, LogLevel>>
}

/** Directives as RUST_LOG has them: a level, and `SCOPE=LEVEL` for others, separated by commas; without a level it is `info`. Undefined: not such a text. */
export function parseLogFilter(text: string): LogFilter | undefined {
  let level: LogLevel = 'info'
  const scopes: Record<string, LogLevel> = {}
  for (const directive of text.split(',')) {
    const [first = '', second] = directive.split('=', 2)
    const named = logLevels.find((l) => l === (second ?? first))
    if (!named || (second !== undefined && !/^[\w:]+$/.test(first)) || directive.split('=').length > 2) return undefined
    if (second === undefined) level = named
    else scopes[first] = named
  }
  return { level, scopes }
}
