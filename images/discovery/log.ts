const levels = ['debug', 'info', 'warn', 'error'] as const
export type Level = (typeof levels)[number]

export type Log = Readonly<Record<Level, (message: string, fields?: Readonly<Record<string, unknown>>) => void>>

/**
 * A log in Istio's form: time, level, scope, message, then fields as `key=value`, separated by tabs. Values with spaces are quoted.
 * @param scope the part that speaks, such as `ads` or `serverca`
 */
export function createLog(scope: string, level: Level = 'info', write: (line: string) => void = (l) => process.stdout.write(l)): Log {
  const at =
    (own: Level): Log[Level] =>
    (message, fields = {}) => {
      if (levels.indexOf(own) < levels.indexOf(level)) return
      const time = new Date().toISOString().replace('Z', '000Z')
      const known = Object.entries(fields).filter(([, value]) => value !== undefined)
      write(`${[time, own, scope, message, known.map(([k, v]) => `${k}=${text(String(v))}`).join(' ')].filter(Boolean).join('\t')}\n`)
    }
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
}

/** What a client or the API said must not begin a line of its own. */
function text(value: string): string {
  return /^[\w./:@,+~*()…-]*$/u.test(value) ? value : JSON.stringify(value)
}
