import type { ChildProcess } from 'node:child_process'

/**
 * Waits until a process has printed a line that starts with each of `wanted`, in order.
 * @param what names the process in errors
 * @returns the rest of those lines
 * @throws Error with what the process wrote to stderr, if it ends before
 */
export function firstLines(
  child: ChildProcess,
  wanted: readonly string[],
  what: string,
  onLine?: (line: string) => void,
): Promise<string[]> {
  return new Promise((resolve, reject) => {
    let text = ''
    let problems = ''
    const found: string[] = []
    const done = () => {
      child.stdout?.destroy()
      child.stderr?.destroy()
      child.removeAllListeners()
      // Nobody may hear a later failure of the process itself.
      child.on('error', () => {})
    }
    child.stderr?.setEncoding('utf8').on('data', (part: string) => {
      problems += part
    })
    child.stdout?.setEncoding('utf8').on('data', (part: string) => {
      text += part
      for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n')) {
        const line = text.slice(0, end)
        text = text.slice(end + 1)
        onLine?.(line)
        const next = wanted[found.length]
        if (next !== undefined && line.startsWith(next)) found.push(line.slice(next.length).trim())
        if (found.length === wanted.length) {
          done()
          resolve(found)
          return
        }
      }
    })
    child.once('error', (error) => reject(new Error(`${what} could not be started: ${error.message}`)))
    // 'close', not 'exit': then all of stderr has been read.
    child.once('close', (code, signal) => {
      const how = code === null ? `signal ${signal}` : `exit code ${code}`
      reject(new Error(`${what} ended while it was being made (${how}): ${problems.trim() || 'no message'}`))
    })
  })
}
