import { spawn } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { execa } from 'execa'

/** A network namespace that lives as long as its holder process, for tests. */
export interface TestNamespace {
  readonly pid: number
  /** Open descriptor of the namespace. */
  readonly fd: number
  /** Runs a command inside, gives its stdout; throws on a non-zero exit. */
  run(...argv: string[]): Promise<string>
  close(): Promise<void>
}

/** A fresh namespace with `lo` up. */
export async function testNamespace(): Promise<TestNamespace> {
  const holder = spawn('unshare', ['--net', 'sh', '-c', 'ip link set lo up && echo ready && exec cat'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const pid = holder.pid!
  await new Promise<void>((resolve, reject) => {
    holder.stdout.once('data', () => resolve())
    holder.once('error', reject)
    holder.once('exit', (code) => reject(new Error(`unshare --net: exit code ${code} (root is needed)`)))
  })
  const fd = openSync(`/proc/${pid}/ns/net`, 'r')
  return {
    pid,
    fd,
    async run(...argv) {
      return (await execa('nsenter', [`--net=/proc/${process.pid}/fd/${fd}`, '--', ...argv])).stdout
    },
    async close() {
      if (holder.killed) return
      closeSync(fd)
      const gone = new Promise((resolve) => holder.once('exit', resolve))
      holder.kill('SIGKILL')
      await gone
    },
  }
}

/** A log that keeps its lines, for tests. */
export function memoryLog() {
  const lines: string[] = []
  const at = (level: string) => (message: string, fields?: Record<string, unknown>) => {
    lines.push([level, message, ...Object.entries(fields ?? {}).map(([k, v]) => `${k}=${v}`)].join(' '))
  }
  return { lines, debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
}
