import type { Flow, Hop, LogProof, Netns, Proof, Which } from '../path.ts'
import type { BoundCase } from '../place.ts'
import { redirectEntry } from './legs/entry-redirect.ts'
import { tproxyEntry } from './legs/entry-tproxy.ts'

type Hops = readonly Omit<Hop, 'id'>[]

/** What differs between the releases of in-pod mode. */
export interface Release {
  /** How a connection from outside comes to ztunnel or to the app, from the pod's door on. */
  readonly entry: Entry
  /** The node's set of enrolled pods: the rule that rewrites a probe's source names it. */
  readonly probeSet: string
}

/** Hops inside the server's pod, of a connection that has just entered it. */
export interface Entry {
  /** The fact-sheet rows that they are written from. */
  readonly facts: string
  /** HBONE: to ztunnel's listener on 15008. */
  readonly hbone: (c: BoundCase, tunnel: Flow) => Hops
  /** Plaintext: to ztunnel's listener on 15006, with what ztunnel tells of it. */
  readonly plain: (c: BoundCase, end: { readonly title: string; readonly told: LogProof }) => Hops
  /** The node's own: to the app. */
  readonly probe: (c: BoundCase) => Hops
  /** In the pod of a connection that ztunnel dialled from there: how its answers come in. */
  readonly answered: (pod: Netns, dialled: Flow) => Hops
  /** What a packet that comes back over the pod's `lo` meets besides the marks. */
  readonly overLo: (pod: Netns, which: Which, f: Flow, mark: number) => readonly Proof[]
}

const releases: Readonly<Record<string, Release>> = {
  today: { entry: redirectEntry, probeSet: 'istio-inpod-probes-v4' },
  '1.21': { entry: tproxyEntry, probeSet: 'istio-inpod-probes' },
}

export const releaseNames = Object.keys(releases)

/** @throws RangeError that names the releases there are */
export function releaseOf(name: string): Release {
  const release = releases[name]
  if (!release) throw new RangeError(`mode inpod has no release ${name}; use one of: ${releaseNames.join(', ')}`)
  return release
}
