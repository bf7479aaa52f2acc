import { createHash } from 'node:crypto'
import { writeSync } from 'node:fs'
import type { Socket } from 'node:net'
import type { ServerLogLine } from '../lib/app-protocol.ts'
import { endpoint } from '../lib/endpoint.ts'

/** Bytes of a body that a log line keeps. */
const kept = 256

/** The two ends of a server's socket; take them while the connection stands, a reset one has none. */
export function endsOf(socket: Socket): Pick<ServerLogLine, 'peer' | 'local'> {
  return { peer: endpoint(socket.remoteAddress, socket.remotePort), local: endpoint(socket.localAddress, socket.localPort) }
}

/** Counts and digests what came, and keeps its first bytes, so that an echo of any size needs little memory. */
export class Received {
  bytes = 0
  #head: Buffer[] = []
  #headLength = 0
  readonly #hash = createHash('sha256')

  add(chunk: Buffer): void {
    this.bytes += chunk.length
    this.#hash.update(chunk)
    if (this.#headLength >= kept) return
    this.#head.push(Buffer.from(chunk.subarray(0, kept - this.#headLength)))
    this.#headLength += chunk.length
  }

  /** Prints the log line; on return the kernel has it, however slow its reader is. */
  log(protocol: ServerLogLine['protocol'], ends: Pick<ServerLogLine, 'peer' | 'local'>): void {
    const body = Buffer.concat(this.#head).toString()
    const line: ServerLogLine = { event: 'served', protocol, ...ends, body, bytes: this.bytes, sha256: this.#hash.digest('hex') }
    print(`${JSON.stringify(line)}\n`)
  }
}

/** Writes to stdout and waits until all is written. process.stdout would queue what a full pipe does not take, and the answer would overtake its log line. */
function print(text: string): void {
  let rest = Buffer.from(text)
  while (rest.length > 0) {
    try {
      rest = rest.subarray(writeSync(1, rest))
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      // The reader is gone: serving goes on without a log, as it does for any program whose log collector died.
      if (code === 'EPIPE') return
      if (code !== 'EAGAIN') throw error
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1)
    }
  }
}
