import { spawn } from 'node:child_process'
import { inNetns } from '../../../images/lib/netns.ts'

/** Longest a text tool may take, milliseconds. */
const timeout = 10_000

/**
 * Runs a tool in a network namespace. The child is forked while this thread is in the namespace, so no nsenter is needed.
 * @param netns open namespace descriptor
 * @returns its stdout; rejects with its stderr when it fails
 */
export async function runTool(netns: number, argv: readonly string[], input = ''): Promise<string> {
  const [command = '', ...args] = argv
  const child = inNetns(netns, () => spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'] }))
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  const out: Buffer[] = []
  let complaint = ''
  const timer = setTimeout(() => {
    complaint = `no end after ${timeout} ms`
    child.kill('SIGKILL')
  }, timeout)
  child.stdout.on('data', (chunk: Buffer) => out.push(chunk))
  child.stderr.on('data', (chunk: Buffer) => {
    complaint += chunk
  })
  // A tool that ends before it read its input: its exit code tells why.
  child.stdin.on('error', () => {})
  child.on('error', reject)
  child.on('close', (code, signal) => {
    if (code === 0) resolve(Buffer.concat(out).toString())
    else reject(new Error(`${argv.join(' ')}: ${signal ?? `exit code ${code}`}: ${complaint.trim()}`))
  })
  child.stdin.end(input)
  try {
    return await promise
  } finally {
    clearTimeout(timer)
  }
}

/** Runs jobs, at most `limit` at the same time; rejects with the first failure after all have ended. */
export async function bounded(limit: number, jobs: readonly (() => Promise<void>)[]): Promise<void> {
  const queue = [...jobs]
  const failures: unknown[] = []
  const worker = async () => {
    for (let job = queue.shift(); job; job = queue.shift()) await job().catch((error: unknown) => failures.push(error))
  }
  await Promise.all(Array.from({ length: limit }, worker))
  if (failures.length > 0) throw failures[0]
}
