import { mkdirSync, rmSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { dirname } from 'node:path'

/** Sends a line before the last one. @returns whether anybody still reads */
export type Tell = (line: object) => boolean
type Answer = (line: string, tell: Tell) => Promise<object> | object

/** Longest line that is read, bytes; a longer one is answered with an error and ends its connection. */
const maxLine = 64 * 1024 * 1024

/**
 * A control socket: newline-separated JSON over a UNIX stream socket. Each line goes to `answer`, and what it resolves to goes back as one line, in any order.
 * A file left at `path` by a killed predecessor is replaced; folders above it are made.
 * @param answer must not throw; gets the line as it came, which may be no JSON at all; may `tell` lines before its last one
 * @returns when it listens
 */
export async function listenForLines(path: string, answer: Answer): Promise<Server> {
  mkdirSync(dirname(path), { recursive: true })
  rmSync(path, { force: true })
  const server = createServer({ allowHalfOpen: true }, (socket) => serve(socket, answer))
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  server.once('error', reject)
  server.listen({ path, readableAll: true, writableAll: true }, resolve)
  await promise
  return server
}

function serve(socket: Socket, answer: Answer): void {
  const tell: Tell = (line) => {
    if (socket.writable) socket.write(`${JSON.stringify(line)}\n`)
    return socket.writable
  }
  let open = 0
  let ended = false
  const endWhenAnswered = () => {
    if (ended && open === 0) socket.end()
  }
  const take = async (line: string) => {
    if (line.trim() === '') return
    open++
    tell(await answer(line, tell))
    open--
    endWhenAnswered()
  }
  let parts: string[] = []
  let length = 0
  socket.setEncoding('utf8')
  socket.on('data', (chunk: string) => {
    const [first = '', ...rest] = chunk.split('\n')
    parts.push(first)
    length += first.length
    for (const next of rest) {
      void take(parts.join(''))
      parts = [next]
      length = next.length
    }
    if (length > maxLine) socket.end(`${JSON.stringify({ id: '', ok: false, error: `line longer than ${maxLine} bytes` })}\n`)
  })
  socket.on('end', () => {
    void take(parts.join(''))
    ended = true
    endWhenAnswered()
  })
  // The other side went away: nobody is left to be told.
  socket.on('error', () => socket.destroy())
}
