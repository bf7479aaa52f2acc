import { closeSync, statSync } from 'node:fs'
import { doRequest } from '../../../images/lib/app-client.ts'
import type { LoadEnd } from '../../../images/lib/load-protocol.ts'
import { frameKind } from '../frames.ts'
import { type CollectorCommand, netnsLabel, nodeLabel, type PodReference } from '../protocol.ts'
import { nowMicros } from './clock.ts'
import { type FoundNetns, findNetns } from './find-netns.ts'
import { Logs } from './logs.ts'
import { checkMarker } from './marker.ts'
import type { Output } from './output.ts'
import { defaultRing, type RingSize } from './packet-ring.ts'
import { PacketFile } from './packets.ts'
import { relayCommand, relayEndOfLoad, relayLoad, relayRequest } from './relay.ts'
import { takeSnapshot } from './snapshot.ts'
import { addressNumber } from './socket-filter.ts'
import { bounded, runTool } from './tools.ts'
import { removeTraceRules, spareRules, traceRules } from './trace-rules.ts'
import { WatchedNetns } from './watched-netns.ts'

/** Mostly they wait for the kernel (a grace period each), so more than there are processors. */
const nftAtOnce = 16

function nft(netns: WatchedNetns, rules: string): Promise<string> {
  return runTool(netns.fd, ['nft', '-f', '-'], rules)
}

/** What a collector does, apart from its process. */
export class Collector {
  readonly #output: Output
  readonly #ring: RingSize
  readonly #file: PacketFile
  readonly #logs: Logs
  readonly #watched = new Map<string, WatchedNetns>()
  #ztunnel: string | undefined
  #spared: { readonly clients: readonly string[]; readonly search?: string | undefined } = { clients: [] }
  /** Commands that change what is watched, or go through all of it, one after the other. */
  #turn: Promise<unknown> = Promise.resolve()

  /** @param node its name in the bundle */
  constructor(node: string, output: Output, ring: RingSize = defaultRing) {
    this.#output = output
    this.#ring = ring
    this.#file = new PacketFile(output, node)
    this.#logs = new Logs((lines) => output.send(frameKind.logs, lines.map((line) => `${JSON.stringify(line)}\n`).join('')))
  }

  /** Does one command; resolves with its result, rejects with what went wrong. */
  async run(command: Exclude<CollectorCommand, { do: 'stop' }>): Promise<unknown> {
    switch (command.do) {
      case 'watch':
        return this.#inTurn(() => this.#watch(command.pods))
      case 'unwatch':
        return this.#inTurn(() => this.#unwatch(command.pods.map(netnsLabel)))
      case 'mark':
        checkMarker(command.marker)
        return this.#inTurn(() => this.#mark(command.marker))
      case 'snapshot':
        return this.#inTurn(() => this.#snapshot(command.label))
      case 'request':
        return command.pod ? relayRequest(command.request, command.pod.uid) : doRequest(command.request)
      case 'server':
        return relayCommand(command.command, command.pod.uid)
      case 'spare':
        return this.#inTurn(() => this.#spare(command))
      case 'load':
        return this.#load(command)
      case 'end-load':
        return relayEndOfLoad(command.stop, command.pod.uid)
      default:
        throw new Error(`unknown command ${JSON.stringify((command as { do: unknown }).do)}`)
    }
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(work)
    this.#turn = result.catch(() => {})
    return result
  }

  async #watch(pods: readonly PodReference[]): Promise<string[]> {
    const found = findNetns(pods.map((pod) => pod.uid))
    try {
      return await this.#watchFound(pods, found)
    } finally {
      for (const { fd } of found.values()) closeSync(fd)
    }
  }

  async #watchFound(pods: readonly PodReference[], found: ReadonlyMap<string, FoundNetns>): Promise<string[]> {
    const own = { path: '/proc/self/ns/net', inode: statSync('/proc/self/ns/net').ino }
    const wanted = [{ label: nodeLabel, ...own }]
    const missing: string[] = []
    for (const pod of pods) {
      const netns = found.get(pod.uid)
      if (netns === undefined) missing.push(`${netnsLabel(pod)} (uid ${pod.uid})`)
      // hostNetwork: the node's own, watched already.
      else if (netns.inode !== own.inode) wanted.push({ label: netnsLabel(pod), path: `/proc/self/fd/${netns.fd}`, inode: netns.inode })
      if (pod.role === 'ztunnel') this.#ztunnel = netns?.inode === own.inode ? nodeLabel : netnsLabel(pod)
    }
    const replaced = wanted.filter(({ label, inode }) => this.#watched.has(label) && this.#watched.get(label)!.inode !== inode)
    await this.#unwatch(replaced.map(({ label }) => label))
    for (const netns of this.#watched.values()) netns.watchLegacy()
    const added = wanted.filter(({ label }) => !this.#watched.has(label))
    await bounded(
      nftAtOnce,
      added.map(
        ({ label, path, inode }) =>
          () =>
            this.#open(label, path, inode),
      ),
    )
    if (missing.length > 0) throw new Error(`no process of ${missing.join(', ')} on this node: is the pod running here?`)
    return [nodeLabel, ...[...this.#watched.keys()].filter((label) => label !== nodeLabel).sort()]
  }

  async #open(label: string, path: string, inode: number): Promise<void> {
    const netns = new WatchedNetns(path, inode, label, this.#ring, this.#file, this.#output)
    try {
      netns.watchLegacy()
      // Before the first wait: a load that is there already would fill the rings meanwhile.
      if (this.#spared.clients.length > 0) this.#spareStreams(netns)
      // After the streams are open: what the rules select is read from the first packet on. In one transaction with what they leave alone, for the same reason.
      const { clients } = this.#spared
      const rules = traceRules() + (clients.length > 0 ? spareRules(clients) : '')
      await nft(netns, rules).catch(() => nft(netns, removeTraceRules() + rules))
      netns.ready()
    } catch (error) {
      netns.close()
      throw new Error(`${label}: ${(error as Error).message}`)
    }
    this.#watched.set(label, netns)
  }

  async #unwatch(labels: readonly string[]): Promise<void> {
    const jobs = labels.map((label) => async () => {
      const netns = this.#watched.get(label)
      if (!netns) return
      this.#watched.delete(label)
      if (this.#ztunnel === label) this.#ztunnel = undefined
      netns.flush()
      try {
        await nft(netns, removeTraceRules())
      } finally {
        netns.close()
      }
    })
    await bounded(nftAtOnce, jobs)
  }

  async #spare({ clients, search }: { readonly clients: readonly string[]; readonly search?: string | undefined }): Promise<void> {
    for (const client of clients) addressNumber(client)
    this.#spared = { clients, search }
    this.#logs.spare(clients, search === undefined)
    await bounded(
      nftAtOnce,
      Array.from(this.#watched.values(), (netns) => () => this.#spareIn(netns)),
    )
  }

  async #spareIn(netns: WatchedNetns): Promise<void> {
    await nft(netns, spareRules(this.#spared.clients))
    this.#spareStreams(netns)
  }

  #spareStreams(netns: WatchedNetns): void {
    const { clients, search } = this.#spared
    netns.spare(clients.length === 0 ? undefined : { clients: clients.map(addressNumber), ...(search === undefined ? {} : { search }) })
  }

  async #load({ load, pod }: Extract<CollectorCommand, { do: 'load' }>): Promise<LoadEnd> {
    const end = await relayLoad(load, (answer) => this.#output.line(frameKind.loads, answer), pod.uid)
    this.#output.line(frameKind.loads, end)
    return end
  }

  async #mark(marker: string): Promise<void> {
    const results = await Promise.allSettled(Array.from(this.#watched.values(), (netns) => netns.mark(marker, netns.label === nodeLabel)))
    this.#flush()
    this.#output.line(frameKind.markers, { id: marker })
    const silent = results.flatMap((result) => (result.status === 'rejected' ? [(result.reason as Error).message] : []))
    if (silent.length > 0) throw new Error(silent.join('; '))
  }

  async #snapshot(label: string): Promise<void> {
    const ztunnel = this.#ztunnel === undefined ? undefined : this.#watched.get(this.#ztunnel)
    await takeSnapshot(label, [...this.#watched.values()], ztunnel, (file) => this.#output.send(frameKind.snapshot, JSON.stringify(file)))
  }

  /** Everything that the kernel and the logs have now, and what was lost since the last time. */
  #flush(): void {
    for (const netns of this.#watched.values()) netns.flush()
    this.#logs.flush()
    this.#output.line(frameKind.stats, { netns: nodeLabel, stream: 'logs', lost: 0 }, nowMicros())
  }

  /** The last evidence, then everything closed and our tables gone. Never rejects: what could not be removed is told on stderr. */
  async stop(): Promise<void> {
    await this.#inTurn(async () => {
      this.#flush()
      await this.#unwatch([...this.#watched.keys()])
    }).catch((error: Error) => console.error(`collector: ${error.message}`))
    this.#logs.close()
  }
}
