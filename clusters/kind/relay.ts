import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import { type AddressInfo, createServer, Socket } from 'node:net'
import { AF_INET, SOCK_STREAM } from '../../images/lib/libc.ts'
import { socketInNetns } from '../../images/lib/netns.ts'

// Takes connections on a port of this host's loopback to a port on the loopback of another network namespace: node relay.ts PID PORT.
// Tells its own port over the IPC channel; that channel's end is its end.
const [pid, port] = process.argv.slice(2)
const netns = openSync(`/proc/${pid}/ns/net`, 'r')
process.on('exit', () => closeSync(netns))
process.on('disconnect', () => process.exit(0))
process.on('SIGINT', () => {})

const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
  const there = new Socket({ fd: socketInNetns(netns, AF_INET, SOCK_STREAM), allowHalfOpen: true })
  there.connect({ host: '127.0.0.1', port: Number(port) })
  there.setNoDelay(true)
  client.pipe(there).pipe(client)
  for (const [from, to] of [
    [client, there],
    [there, client],
  ] as const)
    from.on('error', () => to.resetAndDestroy())
})
server.listen(0, '127.0.0.1')
await once(server, 'listening')
process.send?.((server.address() as AddressInfo).port)
