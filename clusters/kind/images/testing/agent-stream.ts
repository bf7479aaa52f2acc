import { closeSync, openSync } from 'node:fs'
import { listenSeqpacket, type SeqpacketSocket } from '../../../../images/lib/seqpacket.ts'
import { decodeHello, decodeResponse, encodeRequest, maxMessage, type WorkloadRequest } from '../../../../images/lib/zds.ts'

/** The agent's side of ZDS for one proxy: what it is sent is answered before anything else is sent. */
export class AgentStream {
  readonly #listener: { close(): void }
  readonly #connected = Promise.withResolvers<SeqpacketSocket>()
  readonly #packets: ((bytes: Buffer) => void)[] = []
  #hello: Promise<Buffer>

  /** @param path where the proxy connects */
  constructor(path: string) {
    this.#hello = this.#next()
    this.#listener = listenSeqpacket(path, maxMessage, (socket) => {
      socket.start(
        ({ data }) => this.#packets.shift()?.(data),
        () => {},
      )
      this.#connected.resolve(socket)
    })
  }

  /** The version that the proxy speaks. */
  async hello(): Promise<number> {
    return decodeHello(await this.#hello).version
  }

  /** @param netns file of the pod's network namespace, for `add` @returns the proxy's error, undefined if it has none */
  async send(message: WorkloadRequest, netns?: string): Promise<string | undefined> {
    const socket = await this.#connected.promise
    const answer = this.#next()
    const fd = netns === undefined ? undefined : openSync(netns, 'r')
    socket.send(encodeRequest(message), fd === undefined ? [] : [fd])
    if (fd !== undefined) closeSync(fd)
    return decodeResponse(await answer).ack.error
  }

  async close(): Promise<void> {
    this.#listener.close()
    ;(await this.#connected.promise).close()
  }

  #next(): Promise<Buffer> {
    return new Promise((resolve) => this.#packets.push(resolve))
  }
}
