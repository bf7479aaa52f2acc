import { Socket } from 'node:net'

/** What one system call can bring. */
const size = 64 << 10
const buffer = Buffer.allocUnsafeSlow(size)

/** What Node keeps the `onread` option of a socket under, which it takes for sockets that are yet to be made only; undefined in a Node that keeps it elsewhere. */
const places = findPlaces()

function findPlaces(): { buffer: symbol; callback: symbol } | undefined {
  const probe = new Socket({ onread: { buffer, callback: () => true } })
  const named = (name: string) => Object.getOwnPropertySymbols(probe).find((s) => s.description === name)
  const found = { buffer: named('kBuffer'), callback: named('kBufferCb') }
  probe.destroy()
  return found.buffer && found.callback ? { buffer: found.buffer, callback: found.callback } : undefined
}

/**
 * Reads a connected socket into one buffer that all sockets of the process share: nothing is allocated for what comes, and nothing has to be collected.
 * What had been read before comes first. `pause` and `resume` work as ever; 'end', 'error' and 'close' are events as ever, 'data' is not.
 * @param take gets bytes that are valid during the call only
 */
export function readShared(socket: Socket, take: (bytes: Buffer) => void): void {
  const handle = (socket as unknown as { _handle?: { useUserBuffer?(buffer: Buffer): void } })._handle
  if (!places || !handle?.useUserBuffer) {
    socket.on('data', take)
    return
  }
  socket.pause()
  for (let chunk = socket.read() as Buffer | null; chunk !== null; chunk = socket.read() as Buffer | null) take(chunk)
  if (socket.destroyed) return
  Object.assign(socket, {
    [places.buffer]: buffer,
    [places.callback]: (length: number, bytes: Buffer) => {
      take(length === bytes.length ? bytes : bytes.subarray(0, length))
      return true
    },
  })
  handle.useUserBuffer(buffer)
  socket.resume()
}
