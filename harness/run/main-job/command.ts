import type { ChildProcess } from 'node:child_process'
import { join } from 'node:path'
import { cli, type StandInHost } from './stand-in-host.ts'

export interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** `everyhop ARGS` on a host, as a user starts it. */
export class Command {
  readonly ended: Promise<Ended>
  readonly #host: StandInHost
  readonly #child: ChildProcess
  readonly #waiting: { text: string; resolve: () => void; reject: (error: Error) => void }[] = []
  #stdout = ''
  #stderr = ''
  #over = false

  constructor(host: StandInHost, args: readonly string[]) {
    this.#host = host
    this.#child = host.spawn([...cli, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
    this.#child.stdout!.setEncoding('utf8').on('data', (text) => (this.#stdout += text))
    this.#child.stderr!.setEncoding('utf8').on('data', (text) => {
      this.#stderr += text
      this.#wake()
    })
    this.ended = new Promise((resolve) => {
      this.#child.once('close', (code) => {
        this.#over = true
        this.#wake()
        resolve({ code, stdout: this.#stdout, stderr: this.#stderr })
      })
    })
  }

  /** Waits until the command has said this on standard error. @throws when it ends without */
  said(text: string): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ text, resolve, reject })
      this.#wake()
    })
  }

  kill(signal: NodeJS.Signals): void {
    this.#host.kill(this.#child, signal)
  }

  /** Ctrl-C on its terminal. */
  interrupt(): void {
    this.#host.interrupt(this.#child)
  }

  #wake(): void {
    for (const { text, resolve, reject } of this.#waiting) {
      if (this.#stderr.includes(text)) resolve()
      else if (this.#over) reject(new Error(`ended without saying "${text}": ${this.#stderr}`))
    }
  }
}

/** A quick run that has ended: what it printed and the folder that it left. */
export interface MainJob extends Ended {
  readonly folder: string
  /** Of its mode in release `today`. */
  readonly bundle: string
}

/** @param args more of the command */
export async function mainJob(host: StandInHost, name: string, args: readonly string[] = []): Promise<MainJob> {
  const folder = join(host.folder, name)
  const command = new Command(host, ['run', '--quick', ...args, '--json', '--out', folder])
  await command.said('cluster of 2 nodes')
  host.owners()
  return { ...(await command.ended), folder, bundle: join(folder, 'bundle', 'inpod-today') }
}
