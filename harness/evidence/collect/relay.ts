import { closeSync, openSync } from 'node:fs'
import { connect } from 'node:net'
import { basename } from 'node:path'
import type { ClientRequest, ClientResult, ServerCommand, ServerResult } from '../../../images/lib/app-protocol.ts'
import { clientSocket, serverSocket } from '../../../images/lib/app-protocol.ts'

/** Where the kubelet keeps a pod's emptyDir `control`, which holds the apps' sockets. */
export function controlDirectory(uid: string): string {
  return `/var/lib/kubelet/pods/${uid}/volumes/kubernetes.io~empty-dir/control`
}

/** Has a pod's sleep app do a request. */
export function relayRequest(request: ClientRequest, uid: string, directory = controlDirectory(uid)): Promise<ClientResult> {
  return exchange<ClientResult>(directory, basename(clientSocket), request, request.timeoutMs + 2000)
}

/** Tells a pod's httpbin to open or close a port. */
export function relayCommand(command: ServerCommand, uid: string, directory = controlDirectory(uid)): Promise<ServerResult> {
  return exchange<ServerResult>(directory, basename(serverSocket), command, 5000)
}

/** One line there, one line back, over a connection of its own. */
async function exchange<T>(directory: string, name: string, command: { readonly id: string }, timeoutMs: number): Promise<T> {
  const path = `${directory}/${name}`
  // The path is longer than a socket address may be (107 bytes): go through the open folder.
  const folder = openSync(directory, 'r')
  const { promise, resolve, reject } = Promise.withResolvers<T>()
  const socket = connect({ path: `/proc/self/fd/${folder}/${name}` })
  const fail = (reason: string) => reject(new Error(`${path}: ${reason}`))
  socket.setTimeout(timeoutMs, () => fail(`no answer to ${command.id} within ${timeoutMs} ms`))
  socket.on('error', (error) => fail(error.message))
  let answer = ''
  socket.setEncoding('utf8')
  socket.on('data', (chunk: string) => {
    answer += chunk
    const end = answer.indexOf('\n')
    if (end < 0) return
    try {
      resolve(JSON.parse(answer.slice(0, end)) as T)
    } catch {
      fail(`not a line of JSON: ${answer.slice(0, 200)}`)
    }
  })
  socket.on('close', () => fail(`closed before it answered ${command.id}`))
  socket.write(`${JSON.stringify(command)}\n`)
  try {
    return await promise
  } finally {
    socket.destroy()
    closeSync(folder)
  }
}
