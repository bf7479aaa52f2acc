import type { Store } from '../apiserver/store.ts'
import { daemonSets } from './daemonsets.ts'
import { deployments } from './deployments.ts'
import { endpoints } from './endpoints.ts'
import { garbage } from './garbage.ts'
import { namespaces } from './namespaces.ts'
import { type Controller, stopAll } from './queue.ts'
import { replicaSets } from './replicasets.ts'
import { scheduler } from './scheduler.ts'
import { serviceAccounts } from './service-accounts.ts'

const all: readonly Controller[] = [serviceAccounts, garbage, namespaces, endpoints, scheduler, daemonSets, replicaSets, deployments]

export interface ControllerOptions {
  /** Certificate of the API server's CA, PEM. */
  readonly caPem: string
  /** Hears of work that failed and will be tried again, such as a pod that admission refuses. @default a line on stderr */
  readonly onError?: (error: Error) => void
}

/**
 * Starts what makes a cluster of a store: service accounts, garbage collection, namespace life cycle, endpoints, scheduler, DaemonSets, ReplicaSets, Deployments.
 * They act on changes, never by polling.
 * @returns stops them all
 */
export function startControllers(store: Store, options: ControllerOptions): () => void {
  const onError = options.onError ?? ((error: Error) => console.error(`controllers: ${error.message}`))
  return stopAll(all.map((start) => start({ store, caPem: options.caPem, onError })))
}
