import { connect, isIP, type Socket } from 'node:net'

/** What an exchange ended with: nothing (the token came back), or a code. */
export type Exchange = { readonly localPort?: number; readonly error?: string }

/**
 * One TCP connection that carries HTTP requests one after the other, and is never opened a second time: what happens to it is what happened to this very connection.
 * Written by hand because Node's agent opens another connection where one has broken, which is what must not stay unseen here.
 */
export class KeptConnection {
  readonly #socket: Socket
  readonly #host: string
  #localPort: number | undefined
  /** How it broke. */
  #broken: string | undefined
  #answer = ''
  #look: (() => void) | undefined

  /** Begins to connect; the first exchange waits for it. */
  constructor(host: string, port: number) {
    this.#host = `${isIP(host) === 6 ? `[${host}]` : host}:${port}`
    this.#socket = connect({ host, port, noDelay: true })
    this.#socket.setEncoding('latin1')
    this.#socket.once('connect', () => {
      this.#localPort = this.#socket.localPort
    })
    this.#socket.on('data', (text: string) => {
      this.#answer += text
      this.#look?.()
    })
    this.#socket.on('error', ({ code = 'EUNKNOWN' }: NodeJS.ErrnoException) => this.#break(code))
    this.#socket.on('end', () => this.#break('ECLOSED'))
    this.#socket.on('close', () => this.#break('ECLOSED'))
  }

  get broken(): boolean {
    return this.#broken !== undefined
  }

  /** POSTs one body and waits for its whole answer. Not before the one before has ended. A connection that has broken since then tells how. */
  async post(path: string, body: string, timeoutMs: number): Promise<Exchange> {
    const { promise, resolve } = Promise.withResolvers<string | undefined>()
    const timer = setTimeout(() => this.#break('ETIMEDOUT'), timeoutMs)
    this.#answer = ''
    this.#look = () => {
      if (this.#broken !== undefined) return resolve(this.#broken)
      const status = wholeAnswer(this.#answer)
      if (status === undefined) return
      if (status < 200 || status > 299) resolve(`HTTP_${status}`)
      else resolve(path !== '/anything' || this.#answer.includes(body) ? undefined : 'EECHO')
    }
    this.#look()
    if (this.#broken === undefined)
      this.#socket.write(
        `POST ${path} HTTP/1.1\r\nhost: ${this.#host}\r\ncontent-type: text/plain\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
      )
    const error = await promise
    clearTimeout(timer)
    this.#look = undefined
    return { ...(this.#localPort === undefined ? {} : { localPort: this.#localPort }), ...(error === undefined ? {} : { error }) }
  }

  close(): void {
    this.#break('ECLOSED')
  }

  #break(how: string): void {
    this.#broken ??= how
    this.#look?.()
    this.#socket.destroy()
  }
}

/** The status of an answer that is there to its end (RFC 9112: a length, or chunks up to the empty one); undefined: more is to come. */
function wholeAnswer(text: string): number | undefined {
  const end = text.indexOf('\r\n\r\n')
  if (end < 0) return undefined
  const head = text.slice(0, end).toLowerCase()
  const length = /\r\ncontent-length: *(\d+)/.exec(head)?.[1]
  const whole =
    length === undefined ? text.endsWith('\r\n0\r\n\r\n') || text.endsWith('\r\n\r\n0\r\n\r\n') : text.length >= end + 4 + Number(length)
  return whole ? Number(/^http\/1\.[01] (\d{3})/.exec(head)?.[1] ?? 0) : undefined
}
