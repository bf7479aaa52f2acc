import { runFiles } from '../shared/event.ts'
import type { Platform } from './platform.ts'

const levels = ['debug', 'info', 'warn', 'error', 'none'] as const
type Level = Exclude<(typeof levels)[number], 'none'>

/** Largest size of the plugin's own log before it is set aside, bytes. */
const maxLog = 10 * 1024 * 1024

/** The plugin's log: JSON lines to a file in the run directory, and at the end to the agent, who prints them with its own. Never fails an invocation. */
export class PluginLog {
  readonly #platform: Platform
  readonly #directory: string
  readonly #threshold: number
  readonly #lines: string[] = []

  constructor(platform: Platform, directory: string, level: unknown) {
    this.#platform = platform
    this.#directory = directory
    this.#threshold = Math.max(0, levels.indexOf(level as Level) === -1 ? 1 : levels.indexOf(level as Level))
  }

  log(level: Level, message: string, fields: Record<string, string> = {}): void {
    if (levels.indexOf(level) < this.#threshold) return
    // Microseconds as upstream prints them; the clock has milliseconds.
    const time = new Date().toISOString().replace('Z', '000Z')
    this.#lines.push(JSON.stringify({ level, time, msg: message, ...fields }))
  }

  async flush(): Promise<void> {
    if (this.#lines.length === 0) return
    try {
      const file = `${this.#directory}/${runFiles.log}`
      if (this.#platform.size(file) > maxLog) this.#platform.rename(file, `${file}.1`)
      this.#platform.append(file, `${this.#lines.join('\n')}\n`)
    } catch {
      // No run directory: the agent was never here.
    }
    const call = { method: 'POST', path: '/log', headers: { 'content-type': 'application/json' }, timeoutMs: 500 } as const
    await this.#platform
      .overUnixSocket(`${this.#directory}/${runFiles.logSocket}`, { ...call, body: JSON.stringify(this.#lines) })
      .catch(() => {})
  }
}
