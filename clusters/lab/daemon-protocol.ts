import type { Image } from '../cluster.ts'

/** What the lab's process is told at its start, as JSON in its first argument. */
export interface DaemonOptions {
  /** Owner id; its registry is open already. */
  readonly id: string
  /** An existing directory for the lab's files. */
  readonly directory: string
  readonly nodes: readonly string[]
}

export interface ReadyNode {
  readonly name: string
  readonly address: string
  /** Pid on the host of the node's process 1. */
  readonly initPid: number
}

/** Messages to the lab's process, over its IPC channel. That channel's end, for whatever reason, is the lab's end. */
export type ToDaemon = { readonly do: 'images'; readonly id: number; readonly images: readonly Image[] } | { readonly do: 'stop' }

/** Messages from the lab's process. */
export type FromDaemon =
  | { readonly say: 'ready'; readonly nodes: readonly ReadyNode[]; readonly kubeconfig: string }
  /** The images of the request with this id are on all nodes. */
  | { readonly say: 'loaded'; readonly id: number }
  | { readonly say: 'progress'; readonly line: string }
  /** A part of the lab failed and tries again, or the lab could not be made (then it ends). */
  | { readonly say: 'problem'; readonly message: string }
