/** A way to break a mode, as data. */
export interface Fault {
  readonly id: string
  /** What is wrong then, in words. */
  readonly title: string
  readonly seed: Seed
  /** Ids of the cases (without the mode) that are run with it. */
  readonly cases: readonly string[]
  /** Which of them must catch it, and at which hop first: written down before the run. */
  readonly breaks: { readonly case: string; readonly hop: string }
  /** Why no traffic can tell the difference: then `breaks` is where it would be told, and the bundles must be equal. */
  readonly equivalent?: string
}

/** Where a fault is put: commands in namespaces, or a patched copy of the mesh's own code, built for that run only (law 7). */
export type Seed = CommandSeed | PatchSeed

export interface CommandSeed {
  readonly kind: 'commands'
  /** In the namespace of every enrolled pod (but those that opted out of DNS capture: their rules have other places), of those that did, or of every node. */
  readonly where: 'enrolled pods' | 'pods without DNS capture' | 'nodes'
  /** Each an argv. On nodes, a command that names `$ip` or `$uid` is run once for each enrolled pod of the node. */
  readonly do: readonly (readonly string[])[]
  readonly undo: readonly (readonly string[])[]
}

export interface PatchSeed {
  readonly kind: 'patch'
  readonly image: 'ztunnel' | 'cni' | 'discovery'
  readonly edits: readonly Edit[]
}

/** One place in a file below `images/`: `find` must be there exactly once; empty: the file must not be there, and is made. */
export interface Edit {
  readonly file: string
  readonly find: string
  readonly replace: string
}
