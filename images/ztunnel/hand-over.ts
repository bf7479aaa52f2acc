import type { Server } from 'node:net'
import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises'
import { addressOf, c, SOL_SOCKET } from '../lib/libc.ts'

/** Attaches a classic BPF program to a SO_REUSEPORT group (include/uapi/asm-generic/socket.h). */
const SO_ATTACH_REUSEPORT_CBPF = 51
const BPF_RET_K = 0x06
/** Handshakes that the kernel had begun for us finish within a round trip. */
const settle = 50
/** A busy process may not have taken what waits: so many turns of the event loop without a new connection, within so many milliseconds. */
const quietTurns = 3
const longest = 1_000

/**
 * Closes listeners without losing a connection: closing one resets what waits in its queue. New connections are first sent to the second member of each
 * listener's SO_REUSEPORT group, which is the ztunnel that came after us; where there is none the kernel goes on as before. What the kernel had given to us by then
 * is accepted; then the listeners close.
 */
export async function closeGently(servers: readonly Server[]): Promise<void> {
  let accepted = false
  for (const server of servers) {
    preferSecond(server)
    server.on('connection', () => {
      accepted = true
    })
  }
  const end = performance.now() + longest
  await sleep(settle)
  for (let quiet = 0; quiet < quietTurns && performance.now() < end; quiet = accepted ? 0 : quiet + 1) {
    accepted = false
    await turn()
  }
  for (const server of servers) server.close()
}

function preferSecond(server: Server): void {
  const fd = (server as unknown as { _handle?: { fd: number } | null })._handle?.fd ?? -1
  const filter = Buffer.alloc(8)
  filter.writeUInt16LE(BPF_RET_K, 0)
  filter.writeUInt32LE(1, 4)
  const program = Buffer.alloc(16)
  program.writeUInt16LE(1, 0)
  program.writeBigUInt64LE(addressOf(filter), 8)
  c.setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, program, program.length)
}
