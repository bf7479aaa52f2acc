import type { Case } from '../matrix/cell.ts'

/** Who takes part in a case, with everything that a path table may speak of. */
export interface Place {
  readonly node: string
  /** `NAMESPACE.POD`; `node` for the node itself. */
  readonly netns: string
  readonly ip: string
  /** SPIFFE identity that the mesh must prove for it. */
  readonly identity: string
  /** The pod's device on its node. */
  readonly veth: string
  /** The node's device towards the other nodes. */
  readonly underlay: string
  /** The node's address towards its pods: the source of what the node itself sends them. */
  readonly gateway: string
  /** The node's proxy, which has a namespace and an address of its own. */
  readonly proxy?: { readonly netns: string; readonly ip: string; readonly veth: string }
}

/** A case with its participants: what `path` turns into a contract. */
export interface BoundCase {
  readonly case: Case
  readonly client: Place
  readonly server: Place
  /** What the client dials, `10.96.1.2:80` or the endpoint itself. */
  readonly destination: string
  /** Address and port of the app that must serve it. */
  readonly endpoint: string
  /** Address of the cluster's name server. */
  readonly resolver: string
  /** The name that the client dials, or asks for. */
  readonly name?: string
  /** What a question for that name must be answered with. */
  readonly addresses?: readonly string[]
}
