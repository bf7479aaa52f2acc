/** Signals of one request to end come within so much of each other, milliseconds, also on a busy machine. */
const SAME_REQUEST = 2000

/**
 * Calls `end` at the first SIGINT or SIGTERM. One request comes as several signals: `timeout` sends its own to the command and then to the whole group, and
 * launchers (npm, ours) pass on what they get. Those that follow at once end nothing; Ctrl-C later on ends this process where it stands.
 */
export function whenAskedToEnd(end: () => void): void {
  let first: number | undefined
  const asked = (signal: NodeJS.Signals) => {
    if (first === undefined) {
      first = performance.now()
      end()
    } else if (signal === 'SIGINT' && performance.now() - first > SAME_REQUEST) {
      // Whoever else listens would keep it alive.
      process.removeAllListeners('SIGINT')
      process.kill(process.pid, 'SIGINT')
    }
  }
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, asked)
}
