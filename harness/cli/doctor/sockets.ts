import { execa } from 'execa'
import type { Finding } from './finding.ts'
import { kernelFix } from './kernel.ts'
import type { SocketProbe } from './socket-probes.ts'

/** Sockets that evidence and the mesh rest on; each was probed by use, in one throw-away network namespace. */
const titles: Readonly<Record<SocketProbe, { readonly title: string; readonly options: readonly string[] }>> = {
  nftrace: { title: 'nf_tables rule traces', options: ['NF_TABLES', 'NF_TABLES_IPV4'] },
  'conntrack-events': { title: 'conntrack events', options: ['NF_CONNTRACK', 'NF_CT_NETLINK', 'NF_CONNTRACK_EVENTS'] },
  'tpacket-v3': { title: 'packet rings (TPACKET_V3)', options: ['PACKET'] },
  'socket-events': { title: 'events of destroyed sockets (sock_diag)', options: ['INET_DIAG', 'INET_TCP_DIAG'] },
  transparent: { title: 'marked and transparent sockets', options: ['INET'] },
}

/** Runs `socket-probes.ts` in a network namespace of its own. */
export async function socketFindings(): Promise<Finding[]> {
  const all = (finding: Pick<Finding, 'state' | 'detail' | 'fix'>) =>
    Object.entries(titles).map(([id, { title }]) => ({ id, title, ...finding }))
  if (process.getuid?.() !== 0) return all({ state: 'unknown', detail: 'only root can tell' })
  const program = new URL('socket-probes.ts', import.meta.url).pathname
  const result = await execa('unshare', ['--net', process.execPath, program], { reject: false, stdin: 'ignore', timeout: 20_000 })
  if (result.failed)
    return all({ state: 'unknown', detail: `the probes did not run: ${result.stderr?.trim().split('\n')[0] || result.shortMessage}` })
  const problems = JSON.parse(result.stdout) as Record<SocketProbe, string | null>
  return Object.entries(titles).map(([id, { title, options }]) => {
    const problem = problems[id as SocketProbe]
    return problem === null ? { id, title, state: 'ok' } : { id, title, state: 'missing', detail: problem, fix: kernelFix(options) }
  })
}
