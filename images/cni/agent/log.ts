import type { Log } from '../redirect/redirection.ts'

const levels = ['debug', 'info', 'warn', 'error'] as const
type Level = (typeof levels)[number]

/**
 * A log in upstream's form: time, level, scope, message and fields, separated by tabs; fields by spaces.
 * @param scope `cni-agent`, or `cni-plugin` for the plugin's lines
 */
export function createLog(scope: string, level: Level = 'info', write: (line: string) => void = (l) => process.stdout.write(l)): Log {
  const at = (own: Level) => (message: string, fields?: Record<string, unknown>) => {
    if (levels.indexOf(own) >= levels.indexOf(level)) write(formatLine(own, scope, message, fields))
  }
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
}

export function formatLine(level: string, scope: string, message: string, fields: Record<string, unknown> = {}, now = Date.now()): string {
  const time = new Date(now).toISOString().replace('Z', '000Z')
  const text = Object.entries(fields)
    .map(([key, value]) => `${key}=${String(value)}`)
    .join(' ')
  return `${[time, level, scope, message, ...(text ? [text] : [])].join('\t')}\n`
}
