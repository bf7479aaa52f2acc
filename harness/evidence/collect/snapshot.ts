import { request } from 'node:http'
import { Socket } from 'node:net'
import { AF_INET, SOCK_STREAM } from '../../../images/lib/libc.ts'
import { socketInNetns } from '../../../images/lib/netns.ts'
import { nowMicros } from './clock.ts'
import { dumpHandles } from './handles.ts'
import { legacyFamilies } from './legacy-traces.ts'
import { dumpLinks, dumpSettings } from './settings.ts'
import { bounded, runTool } from './tools.ts'

/** One file of a snapshot; `netns` empty: it is about the whole node. */
export interface SnapshotFile {
  readonly label: string
  readonly netns: string
  readonly file: string
  readonly text: string
  /** When the snapshot began, microseconds since 1970. */
  readonly t: number
}

/** What a snapshot is taken of. */
export interface SnapshotTarget {
  readonly label: string
  readonly fd: number
}

const dumps: readonly (readonly [file: string, argv: readonly string[]])[] = [
  ['iptables-save.txt', ['iptables-save', '-c']],
  ['ip6tables-save.txt', ['ip6tables-save', '-c']],
  ['ip-rule.txt', ['ip', '-4', 'rule']],
  ['ip6-rule.txt', ['ip', '-6', 'rule']],
  ['ip-route.txt', ['ip', '-4', 'route', 'show', 'table', 'all']],
  ['ip6-route.txt', ['ip', '-6', 'route', 'show', 'table', 'all']],
  ['ss.txt', ['ss', '-tulnpeOH']],
]
/** Sets of the agents are on the node only. */
const nodeDumps: typeof dumps = [...dumps, ['ipset.txt', ['ipset', 'list']]]

/** Where there are iptables-legacy tables; the others' `iptables-save` does not show them. */
const legacyDumps = {
  ip: ['iptables-legacy-save.txt', ['iptables-legacy-save', '-c']],
  ip6: ['ip6tables-legacy-save.txt', ['ip6tables-legacy-save', '-c']],
} as const

/** ztunnel's admin port; only on the loopback of its own pod. */
const adminPort = 15000

/** Takes the text dumps of all targets, a few tools at a time. Rejects naming tool, namespace and complaint; the files that could be taken were handed over nevertheless. */
export async function takeSnapshot(
  label: string,
  targets: readonly SnapshotTarget[],
  ztunnel: SnapshotTarget | undefined,
  onFile: (file: SnapshotFile) => void,
) {
  const t = nowMicros()
  const jobs = targets.flatMap(({ label: netns, fd }) => {
    const take = (file: string, getText: () => Promise<string>) => async () => {
      try {
        onFile({ label, netns, file, text: await getText(), t })
      } catch (error) {
        throw new Error(`snapshot ${label}, ${netns}/${file}: ${(error as Error).message}`)
      }
    }
    return [
      take('handles.json', async () => JSON.stringify(dumpHandles(fd))),
      take('links.txt', async () => dumpLinks(fd)),
      take('settings.txt', async () => dumpSettings(fd)),
      ...[...(netns === 'node' ? nodeDumps : dumps), ...legacyFamilies(fd).map((family) => legacyDumps[family])].map(([file, argv]) =>
        take(file, () => runTool(fd, argv)),
      ),
    ]
  })
  if (ztunnel) jobs.push(async () => onFile({ label, netns: '', file: 'config-dump.json', text: await configDump(ztunnel), t }))
  await bounded(4, jobs)
}

/** ztunnel's own view of its configuration, verbatim. */
async function configDump(ztunnel: SnapshotTarget): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  const complain = (reason: string) => reject(new Error(`config dump of ${ztunnel.label} (127.0.0.1:${adminPort}): ${reason}`))
  const socket = new Socket({ fd: socketInNetns(ztunnel.fd, AF_INET, SOCK_STREAM) })
  // In the same turn: a socket made from a descriptor starts reading, which fails before it is connected.
  socket.connect(adminPort, '127.0.0.1')
  socket.on('error', (error) => complain(error.message))
  const headers = { host: 'localhost', connection: 'close' }
  const outgoing = request({ path: '/config_dump', headers, timeout: 5000, createConnection: () => socket })
  outgoing.on('error', (error) => complain(error.message))
  outgoing.on('timeout', () => outgoing.destroy(new Error('no answer within 5 s')))
  outgoing.on('response', async (response) => {
    try {
      const text = (await response.setEncoding('utf8').toArray()).join('')
      if (response.statusCode === 200) resolve(text)
      else complain(`status ${response.statusCode}`)
    } catch (error) {
      complain((error as Error).message)
    }
  })
  outgoing.end()
  return promise
}
