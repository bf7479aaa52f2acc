/** What a case is: one cell of the matrix, without a word about how a mode carries it. */
export interface Case extends Axes, Variation {
  /** `MODE[@RELEASE]/TRAFFIC/PLACEMENT/ADDRESS/PROTOCOL[/VARIANT]`, unique in a run. Release `today` is not written. */
  readonly id: string
  readonly mode: string
  /** Whose behaviour the mesh follows. */
  readonly release: string
  /** Part of `--quick`. */
  readonly quick: boolean
}

/** `self`: a pod calls itself. `mesh-to-dns`: it asks the cluster's name server. */
export type Traffic =
  | 'mesh-to-mesh'
  | 'mesh-to-plain'
  | 'plain-to-mesh'
  | 'probe'
  | 'self'
  | 'mesh-to-dns'
  | 'direct'
  | 'forged'
  | 'mesh-to-impostor'

/** What every cell has a value of: its name. */
export interface Axes {
  readonly traffic: Traffic
  readonly placement: 'same-node' | 'other-node'
  /** `service-name` and `headless`: the client dials a name, of a service with an address of its own or without. */
  readonly address: 'pod-ip' | 'cluster-ip' | 'service-name' | 'headless'
  readonly protocol: 'http' | 'http2' | 'tcp' | 'udp' | 'dns'
}

/** What most cells have the plain value of. */
export interface Variation {
  /** `strict`: no plaintext is taken (PeerAuthentication). `revoked`: a policy that denies comes while the server still works at the answer. */
  readonly policy: 'none' | 'allow' | 'deny' | 'strict' | 'revoked'
  /** `pooled`: a request before it opened the tunnel that this one must reuse. */
  readonly connection: 'new' | 'pooled'
  readonly exchange: Exchange
  /** `dns`: what is asked for, over what, and whether the pod has its questions captured. */
  readonly question?: {
    readonly name: 'of the mesh' | 'of no service'
    readonly transport: 'udp' | 'tcp'
    readonly captured: boolean
  }
  /** `direct`: one of ztunnel's own ports, instead of the app's. */
  readonly port?: 15001 | 15006 | 15008
  /** `direct`: who calls it; `itself`: the pod its own. */
  readonly caller?: 'plain' | 'mesh' | 'itself'
  /** `forged`: what is wrong with a client that speaks HBONE itself. */
  readonly forgery?: 'foreign-ca' | 'foreign-trust-domain' | 'disallowed' | 'other-authority'
}

/**
 * Who says what, and in which order. `echo`: a request and its answer. `client-half-close`: the client ends its side before the server says anything. `server-half-close`: the
 * server ends its side first, and still reads. `server-first`: the server speaks before the client. `bulk`: 8 MiB each way.
 */
export type Exchange = 'echo' | 'client-half-close' | 'server-half-close' | 'server-first' | 'bulk'

/** Whether the client's ztunnel makes or uses a tunnel for it. */
export const usesTunnel = (c: Case) => c.traffic === 'mesh-to-mesh' || c.traffic === 'mesh-to-impostor' || c.caller === 'mesh'

/** One cell, of release `today` (`casesOf` makes those of others from it). With a variant (its last name) it is quick unless that says otherwise, without one it is not. */
export function cell(
  mode: string,
  { traffic, placement, address, protocol }: Axes,
  variant?: string,
  variation: Partial<Variation & Pick<Case, 'quick'>> = {},
): Case {
  const id = [mode, traffic, placement, address, protocol, ...(variant ? [variant] : [])].join('/')
  const plain = { policy: 'none', connection: 'new', exchange: 'echo', quick: variant !== undefined } as const
  return { id, mode, release: 'today', traffic, placement, address, protocol, ...plain, ...variation }
}
