import { CommandError, type Netns, netnsPath, runIn, tryIn } from '../command.ts'
import { mainRulePriority, mark, proxyMark, table, tunnels } from './constants.ts'

/** What the node's routes name. */
export interface NodeRoutes {
  readonly proxyDevice: string
  readonly proxyAddress: string
}

/** A policy rule as `ip rule show` prints it behind `from all`. */
interface PolicyRule {
  readonly priority: number
  readonly text: string
}

/** Behind any route with a device. */
const backstopMetric = 4096

const nodePolicy: readonly PolicyRule[] = [
  { priority: 100, text: `fwmark ${mark.skip} goto ${mainRulePriority}` },
  { priority: 101, text: `fwmark ${mark.outbound} lookup ${table.outbound}` },
  { priority: 102, text: `fwmark ${mark.toProxy} lookup ${table.proxy}` },
  { priority: 103, text: `lookup ${table.inbound}` },
]

const proxyPolicy: readonly PolicyRule[] = [
  { priority: 20000, text: `fwmark ${proxyMark.captured} lookup 100` },
  { priority: 20003, text: `fwmark ${proxyMark.answered} lookup 100` },
]

/** Policy rules and the tables' own routes on the node. Those of a former proxy go last: at no moment does a captured packet fall through to the main table. */
export async function routeNode(netns: Netns, { proxyDevice, proxyAddress }: NodeRoutes): Promise<void> {
  const { inbound, outbound, proxy } = table
  // What is in the tunnel keeps the mark of what it carries: its own way to the proxy must be in each table.
  const direct = [inbound, outbound, proxy].map((t) => `route replace ${proxyAddress} dev ${proxyDevice} scope link table ${t}`)
  await batch(netns, [
    ...direct,
    `route replace default via ${tunnels.outbound.proxyAddress} dev ${tunnels.outbound.node} table ${outbound}`,
    `route replace default via ${proxyAddress} dev ${proxyDevice} onlink table ${proxy}`,
    // When the proxy's device goes the kernel drops the route before: what is marked for the proxy must not go on by the main table.
    `route replace unreachable default metric ${backstopMetric} table ${proxy}`,
  ])
  await ensurePolicy(netns, nodePolicy)
  const former = (
    await Promise.all([inbound, outbound, proxy].map((t) => routesOf(netns, t).then((r) => r.map((route) => ({ ...route, table: t })))))
  )
    .flat()
    .filter((r) => r.scope === 'link' && r.dst !== 'default' && r.dst !== proxyAddress)
  await batch(
    netns,
    former.map((r) => `route del ${r.dst} dev ${r.dev} table ${r.table}`),
  )
}

/** Takes rules and routes of the mode off the node; what others have put into its tables stays. */
export async function unrouteNode(netns: Netns): Promise<void> {
  await removePolicy(netns, nodePolicy)
  for (const t of Object.values(table)) {
    const ours = (await routesOf(netns, t)).filter(
      (r) => r.scope === 'link' || r.flags?.includes('onlink') || isTunnel(r.dev) || isBackstop(r),
    )
    const lines = ours.map(
      (r) => `route del ${isBackstop(r) ? `unreachable default metric ${backstopMetric}` : `${r.dst} dev ${r.dev}`} table ${t}`,
    )
    // The kernel drops those whose link goes meanwhile.
    await batch(netns, lines, absent)
  }
}

/** Addresses of this node's pods whose inbound traffic goes into the tunnel. */
export async function routedPods(netns: Netns): Promise<string[]> {
  return (await routesOf(netns, table.inbound)).filter((r) => r.dev === tunnels.inbound.node).map((r) => r.dst)
}

export function routePods(netns: Netns, addresses: readonly string[], hostAddress: string): Promise<void> {
  const { node, proxyAddress } = tunnels.inbound
  return batch(
    netns,
    addresses.map((a) => `route replace ${a}/32 via ${proxyAddress} dev ${node} src ${hostAddress} table ${table.inbound}`),
  )
}

export function unroutePods(netns: Netns, addresses: readonly string[]): Promise<void> {
  return batch(
    netns,
    addresses.map((a) => `route del ${a}/32 table ${table.inbound}`),
    absent,
  )
}

/** Rules and routes in the proxy's namespace. Tables 101 and 102 are asked by no rule: upstream makes them all the same. */
export async function routeProxy(netns: Netns, remote: string, device: string): Promise<void> {
  const { inbound, outbound } = tunnels
  await batch(netns, [
    'route replace local default dev lo table 100',
    `route replace default via ${outbound.nodeAddress} dev ${outbound.proxy} table ${table.outbound}`,
    `route replace default via ${inbound.nodeAddress} dev ${inbound.proxy} table ${table.proxy}`,
    ...[table.outbound, table.proxy].map((t) => `route replace ${remote} dev ${device} scope link table ${t}`),
  ])
  await ensurePolicy(netns, proxyPolicy)
}

/** The device to which the node routes one pod's address, as a primary CNI plugin with a route for each pod makes it; undefined: there is none. */
export async function podDevice(netns: Netns, address: string): Promise<string | undefined> {
  const routes = (await ipJson(netns, ['route', 'show', `${address}/32`, 'table', 'main'])) as { dst: string; dev: string }[]
  return routes.find((r) => r.dst === address)?.dev
}

/** The node's address that packets to `address` leave from. */
export async function sourceTowards(netns: Netns, address: string): Promise<string> {
  const [route] = (await ipJson(netns, ['route', 'get', address])) as { prefsrc?: string }[]
  if (!route?.prefsrc) throw new Error(`the node has no route to ${address}`)
  return route.prefsrc
}

/** The other end of a veth pair. @param inside the namespace in which it lies @throws Error when the device is none of a pair, or its other end is elsewhere */
export async function vethPeer(netns: Netns, device: string, inside: Netns): Promise<string> {
  type Link = { ifindex: number; ifname: string; link_index?: number; linkinfo?: { info_kind?: string } }
  const [link] = (await ipJson(netns, ['link', 'show', 'dev', device], '-d')) as Link[]
  if (link?.linkinfo?.info_kind !== 'veth')
    throw new Error(`${device} is no veth device: only pods behind one can be captured in this mode`)
  const peer = ((await ipJson(inside, ['link', 'show'])) as Link[]).find((l) => l.ifindex === link.link_index)
  if (!peer) throw new Error(`the other end of ${device} is not in network namespace ${netnsPath(inside)}`)
  return peer.ifname
}

const isBackstop = (route: Route) => route.type === 'unreachable' && route.metric === backstopMetric

const isTunnel = (device: string) => Object.values(tunnels).some((t) => t.node === device)

/** Others may have rules of the same priority: they stay. */
async function ensurePolicy(netns: Netns, wanted: readonly PolicyRule[]): Promise<void> {
  const missing = await policy(netns).then((present) => wanted.filter((w) => !present.some((p) => same(p, w))))
  await batch(
    netns,
    missing.map(({ priority, text }) => `rule add priority ${priority} ${text}`),
  )
}

async function removePolicy(netns: Netns, ours: readonly PolicyRule[]): Promise<void> {
  const present = await policy(netns)
  const there = ours.filter((o) => present.some((p) => same(p, o)))
  await batch(
    netns,
    there.map((o) => `rule del priority ${o.priority} ${o.text}`),
  )
}

const same = (a: PolicyRule, b: PolicyRule) => a.priority === b.priority && a.text === b.text

async function policy(netns: Netns): Promise<PolicyRule[]> {
  const text = await runIn(netns, ['ip', '-4', 'rule', 'show'])
  return [...text.matchAll(/^(\d+):\s+from all (.*?)\s*$/gm)].map(([, priority, rule]) => ({ priority: Number(priority), text: rule! }))
}

interface Route {
  readonly dst: string
  readonly dev: string
  readonly type?: string
  readonly metric?: number
  readonly scope?: string
  readonly flags?: readonly string[]
}

async function routesOf(netns: Netns, number: number): Promise<Route[]> {
  const result = await tryIn(netns, ['ip', '-4', '-j', 'route', 'show', 'table', String(number)])
  // A table in which nothing ever was does not exist.
  return result.exitCode === 0 && result.stdout.trim() !== '' ? (JSON.parse(result.stdout) as Route[]) : []
}

async function ipJson(netns: Netns, argv: readonly string[], ...flags: string[]): Promise<unknown[]> {
  const text = await runIn(netns, ['ip', '-4', '-j', ...flags, ...argv])
  return text.trim() === '' ? [] : (JSON.parse(text) as unknown[])
}

// iproute2's answers to "it is not there".
const absent = /^RTNETLINK answers: (No such file or directory|No such process)$/

async function batch(netns: Netns, lines: readonly string[], tolerated?: RegExp): Promise<void> {
  if (lines.length === 0) return
  const argv = ['ip', '-4', ...(tolerated ? ['-force'] : []), '-batch', '-']
  const result = await tryIn(netns, argv, `${lines.join('\n')}\n`)
  if (result.exitCode === 0) return
  const complaints = result.stderr.split('\n').filter((l) => l !== '' && !/^Command failed -:\d+$/.test(l))
  if (tolerated && complaints.length > 0 && complaints.every((l) => tolerated.test(l))) return
  throw new CommandError(argv, `network namespace ${netnsPath(netns)}, input: ${lines.join('; ')}`, result)
}
