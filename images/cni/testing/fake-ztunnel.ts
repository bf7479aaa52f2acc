import { closeSync, fstatSync } from 'node:fs'
import { SeqpacketSocket } from '../../lib/seqpacket.ts'
import { decodeRequest, encodeHello, encodeResponse, type WorkloadRequest } from '../../lib/zds.ts'

/** A request as a fake ztunnel got it; `netns` is the inode of the namespace that came along. */
export interface Received {
  readonly message: WorkloadRequest
  readonly netns: bigint | undefined
}

/** The proxy's end of ZDS, for tests: says hello, keeps what it is told, answers as it is told. */
export class FakeZtunnel {
  readonly received: Received[] = []
  readonly socket: SeqpacketSocket
  /** The error to answer with; undefined: none. `silent`: no answer at all. */
  answer: (message: WorkloadRequest) => string | undefined | 'silent' = () => undefined
  readonly closed: Promise<Error | undefined>
  readonly #waiting = new Set<() => void>()

  /** @param hello what to say first; null: nothing */
  constructor(path: string, hello: Buffer | null = encodeHello()) {
    this.socket = SeqpacketSocket.connect(path, 1024)
    const end = Promise.withResolvers<Error | undefined>()
    this.closed = end.promise
    this.socket.start(({ data, fds }) => {
      const netns = fds[0] === undefined ? undefined : fstatSync(fds[0], { bigint: true }).ino
      for (const fd of fds) closeSync(fd)
      const message = decodeRequest(data)
      this.received.push({ message, netns })
      const answer = this.answer(message)
      if (answer !== 'silent') this.socket.send(encodeResponse({ ack: answer === undefined ? {} : { error: answer } }))
      for (const look of this.#waiting) look()
    }, end.resolve)
    if (hello) this.socket.send(hello)
  }

  /** Resolves when what was received satisfies `condition`. */
  until(condition: (received: readonly Received[]) => boolean): Promise<void> {
    return new Promise((resolve) => {
      const look = () => {
        if (!condition(this.received)) return
        this.#waiting.delete(look)
        resolve()
      }
      this.#waiting.add(look)
      look()
    })
  }

  kinds(): string[] {
    return this.received.map(({ message }) => Object.keys(message)[0]!)
  }
}
