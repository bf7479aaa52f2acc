import type { Edit, Fault, PatchSeed } from '../../fault.ts'
import { added, edit, patched } from './seeds.ts'

// What goes wrong only while the mesh changes: caught by a load, at one of its checks. Facts: inpod-mode 1.7, 2.6.
const client = 'disruption/label-off-and-on/client'
const rollout = 'disruption/ztunnel-rollout'
const restart = 'disruption/discovery-restart'
const established = 'disruption/established/enrolment/outbound'
const inbound = 'disruption/established/leaving/inbound'

const agent = (...edits: readonly Edit[]): PatchSeed => ({ kind: 'patch', image: 'cni', edits })
const inAgent = (file: string, find: string, replace: string): Edit => ({ file: `cni/${file}`, find, replace })

const capture = '    await this.#parts.redirection.addRunningPod(captured(entry, namespace))\n'
const serve = '    const served = this.#parts.proxies.add({ ...workload(entry), netns: namespace.fd })\n    await served.catch(() => {})\n'

export const disruptionFaults: readonly Fault[] = [
  {
    id: 'old-ztunnel-holds-on-to-its-ports',
    title: 'a ztunnel that ends keeps taking connections for seconds, and drops them',
    seed: patched(
      // A group keeps its program: without this one, that of an earlier roll-out goes on sending connections to the newcomer.
      edit('hand-over.ts', 'filter.writeUInt32LE(1, 4)', 'filter.writeUInt32LE(0, 4)'),
      edit(
        'hand-over.ts',
        '  await sleep(settle)\n',
        "  for (const server of servers) server.on('connection', (socket) => socket.destroy())\n  await sleep(2000 + settle)\n",
      ),
    ),
    cases: [rollout],
    breaks: { case: rollout, hop: 'load/lost' },
  },
  {
    id: 'captured-before-the-proxy-listens',
    title: 'the agent turns connections of a running pod to ports where nobody listens yet',
    seed: agent(inAgent('agent/enroller.ts', `${serve}`, ''), inAgent('agent/enroller.ts', capture, `${capture}${serve}`)),
    cases: [client],
    breaks: { case: client, hop: 'load/lost' },
  },
  {
    id: 'called-enrolled-before-it-is-captured',
    title: 'the agent annotates a running pod before its connections are captured',
    seed: agent(inAgent('agent/enroller.ts', capture, `    await this.#parts.annotate(pod, 'enabled')\n${capture}`)),
    cases: [client],
    breaks: { case: client, hop: 'load/readable' },
  },
  {
    id: 'let-go-before-it-says-so',
    title: 'the agent takes the rules of a pod that leaves away first, and the annotation last',
    seed: agent(
      inAgent('agent/enroller.ts', '    await annotate(pod, null)\n    const { peersMs', '    const { peersMs'),
      inAgent(
        'agent/enroller.ts',
        "    log.debug('pod has left the mesh'",
        "    await annotate(pod, null)\n    log.debug('pod has left the mesh'",
      ),
    ),
    cases: [client],
    breaks: { case: client, hop: 'load/readable' },
  },
  {
    id: 'requests-repeated-after-a-reconnect',
    title: 'once its control plane was away, ztunnel gives the app each request twice',
    seed: patched(
      edit(
        'control-plane/xds-client.ts',
        '    this.#options.events.terminated(reason)\n',
        '    this.#options.events.terminated(reason)\n    Object.assign(globalThis, { again: true })\n',
      ),
      edit(
        'inbound.ts',
        '  await carry(context, new SocketEnd(near), far, ',
        `  const app = new SocketEnd(near)
  if ('again' in globalThis) {
    const twin = new SocketEnd(context.placement.dial(to))
    twin.socket.on('error', () => {}).resume()
    const [write, end] = [app.write.bind(app), app.end.bind(app)]
    app.write = (bytes) => {
      twin.socket.write(Buffer.from(bytes))
      return write(bytes)
    }
    app.end = () => {
      twin.socket.end()
      end()
    }
  }
  await carry(context, app, far, `,
      ),
    ),
    cases: [restart],
    breaks: { case: restart, hop: 'load/duplicated' },
  },
]

/** Of connections that stand when a pod is enrolled: facts 1.7. */
export const establishedFaults: readonly Fault[] = [
  {
    id: 'resets-of-the-cut-held-back',
    title: 'connections that are cut at enrolment are not told: no reset leaves the stack of the pod',
    seed: added('mangle', 'OUTPUT', 1, '-p tcp -m tcp --tcp-flags RST RST -j DROP'),
    cases: [established],
    breaks: { case: established, hop: 'load/established' },
  },
]

/**
 * Of release 1.21: its inbound connections go on when their pod leaves, and what it does not make the kernel forget goes on too. Later a connection without a packet at that time is cut all the same: it
 * has no entry, so its next packet meets the translation.
 */
export const establishedTproxyFaults: readonly Fault[] = [
  {
    id: 'connections-from-before-go-on',
    title: 'the agent does not make the kernel forget the connections of a pod that it enrols',
    seed: agent(
      inAgent(
        'redirect/inpod/inpod.ts',
        "    await delay(inFlightMs)\n    flushConntrack(pod.netns, 'untouched')\n",
        '    await delay(inFlightMs)\n',
      ),
    ),
    cases: [established],
    breaks: { case: established, hop: 'load/established' },
  },
  {
    id: 'leaving-ends-what-the-proxy-carries',
    title: 'the agent takes away at once, when a pod leaves, what brings answers back to its proxy',
    seed: agent(inAgent('redirect/inpod/releases.ts', '    lingers: true,\n', '    lingers: false,\n')),
    cases: [inbound],
    breaks: { case: inbound, hop: 'load/established' },
  },
]
