import { closeSync, openSync } from 'node:fs'
import { connect } from 'node:net'
import { basename } from 'node:path'
import type { ClientRequest, ClientResult, ServerCommand, ServerResult } from '../../../images/lib/app-protocol.ts'
import { clientSocket, serverSocket } from '../../../images/lib/app-protocol.ts'
import type { LoadAnswer, LoadCommand, LoadEnd, LoadOptions, StopCommand } from '../../../images/lib/load-protocol.ts'

/** While a load rests, something is done that has time-outs of its own. Milliseconds. */
const longestRest = 600_000

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

/**
 * Has a pod's sleep app make a load; resolves with its last line when it has ended.
 * @param onAnswer told of each request when it has ended
 */
export async function relayLoad(
  load: LoadCommand,
  onAnswer: (answer: LoadAnswer) => void,
  uid: string,
  directory = controlDirectory(uid),
): Promise<LoadEnd> {
  return told(
    await exchange<LoadEnd & { error?: string }>(directory, basename(clientSocket), load, longestSilence(load.load), (line) =>
      onAnswer(line as LoadAnswer),
    ),
  )
}

/** Between two lines no more time passes than one request may take; a load that rests does so until it is told to end. Milliseconds. */
export const longestSilence = ({ timeoutMs, everyMs, restAfter }: LoadOptions): number =>
  timeoutMs + everyMs + 10_000 + (restAfter === undefined ? 0 : longestRest)

/** Tells a load that it may end. */
export async function relayEndOfLoad(stop: StopCommand, uid: string, directory = controlDirectory(uid)): Promise<void> {
  told(await exchange<{ ok: boolean; error?: string }>(directory, basename(clientSocket), stop, 5000))
}

function told<T extends { ok: boolean; error?: string }>(answer: T): T {
  if (!answer.ok) throw new Error(`sleep: ${answer.error}`)
  return answer
}

/** One line there, one line back, over a connection of its own; lines before the one with the command's id go to `onLine`. */
async function exchange<T>(
  directory: string,
  name: string,
  command: { readonly id: string },
  timeoutMs: number,
  onLine?: (line: unknown) => void,
): Promise<T> {
  const path = `${directory}/${name}`
  // The path is longer than a socket address may be (107 bytes): go through the open folder.
  const folder = openSync(directory, 'r')
  const { promise, resolve, reject } = Promise.withResolvers<T>()
  const socket = connect({ path: `/proc/self/fd/${folder}/${name}` })
  const fail = (reason: string) => reject(new Error(`${path}: ${reason}`))
  socket.setTimeout(timeoutMs, () => fail(`no answer to ${command.id} within ${timeoutMs} ms`))
  socket.on('error', (error) => fail(error.message))
  let rest = ''
  socket.setEncoding('utf8')
  socket.on('data', (chunk: string) => {
    const lines = (rest + chunk).split('\n')
    rest = lines.pop()!
    for (const line of lines) {
      try {
        const value = JSON.parse(line) as { id?: string }
        if (onLine && value.id !== command.id) onLine(value)
        else resolve(value as T)
      } catch {
        fail(`not a line of JSON: ${line.slice(0, 200)}`)
      }
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
