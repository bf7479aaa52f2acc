import type { Case } from '../../matrix/cell.ts'
import type { Device, Flow, Hop, Leg, LogProof, Netns, Proof, Which } from '../path.ts'
import type { BoundCase } from '../place.ts'
import { toldOfQuestion } from './legs/dns.ts'
import { askedFromHome, askedFromThePod } from './legs/dns-forward.ts'
import { redirectEntry } from './legs/entry-redirect.ts'
import { tproxyEntry } from './legs/entry-tproxy.ts'

type Hops = readonly Omit<Hop, 'id'>[]

/** What differs between the releases of in-pod mode. */
export interface Release {
  /** How a connection from outside comes to ztunnel or to the app, from the pod's door on. */
  readonly entry: Entry
  /** What an app's question for a name meets, and what becomes of one that ztunnel cannot answer. */
  readonly questions: Questions
  /** Why a cell cannot be: a row of the fact sheet. */
  readonly limit: (c: Case) => string | undefined
  /** The node's set of enrolled pods: the rule that rewrites a probe's source names it. */
  readonly probeSet: string
}

export interface Questions {
  readonly redirect: { readonly rule: string }
  /** What ztunnel's log says of it. */
  readonly told: (c: BoundCase) => readonly Proof[]
  /** The leg to the name server, and who asks there: his address, and the device where his question begins. */
  readonly forwarded: (c: BoundCase) => { readonly leg: Leg; readonly asker: { readonly ip: string; readonly at: Device } }
}

/** Hops inside the server's pod, of a connection that has just entered it. */
export interface Entry {
  /** The fact-sheet rows that they are written from. */
  readonly facts: string
  /** The table whose PREROUTING takes what comes in. */
  readonly table: 'nat' | 'mangle'
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
  today: {
    entry: redirectEntry,
    // Facts 1.2, 4.12.
    questions: {
      redirect: { rule: '-A ISTIO_OUTPUT ! -o lo -p udp -m mark ! --mark 0x539/0xfff -m udp --dport 53 -j REDIRECT --to-ports 15053' },
      told: toldOfQuestion,
      forwarded: askedFromThePod,
    },
    limit: () => undefined,
    probeSet: 'istio-inpod-probes-v4',
  },
  '1.21': {
    entry: tproxyEntry,
    // Facts 1.1, 4.12 (from the pod since 1.24).
    questions: {
      redirect: { rule: '-A ISTIO_OUTPUT ! -o lo -p udp -m udp --dport 53 -j REDIRECT --to-ports 15053' },
      // Its DNS server has no log of questions (ztunnel, src/dns/server.rs of that time).
      told: () => [],
      forwarded: askedFromHome,
    },
    limit: ({ question }) => {
      if (question?.transport === 'tcp') return 'release 1.21 captures no questions over TCP (inpod-mode 1.1, 1.3: since 1.24)'
      if (question?.captured === false) return 'in release 1.21 no pod can opt out of DNS capture (inpod-mode 1.3: since 1.25)'
      return undefined
    },
    probeSet: 'istio-inpod-probes',
  },
}

/** Why a cell cannot be in its release. */
export const limit = (c: Case): string | undefined => releaseOf(c.release).limit(c)

export const releaseNames = Object.keys(releases)

/** @throws RangeError that names the releases there are */
export function releaseOf(name: string): Release {
  const release = releases[name]
  if (!release) throw new RangeError(`mode inpod has no release ${name}; use one of: ${releaseNames.join(', ')}`)
  return release
}
