import { type Resource, resources, type Store } from './apiserver/store.ts'
import type { View, ViewKinds } from './view.ts'

/** The view of agents in the API server's own process. */
export function storeView(store: Store): View {
  const kinds: Record<keyof ViewKinds, Resource> = resources
  return {
    list: (kind) => store.list(kinds[kind]) as never,
    watch(wanted, onChange) {
      let pending: NodeJS.Immediate | undefined
      const later = () => {
        pending ??= setImmediate(() => {
          pending = undefined
          onChange()
        })
      }
      const stops = wanted.map((kind) => store.watch(kinds[kind], {}, later))
      return () => {
        for (const stop of stops) stop()
        clearImmediate(pending)
      }
    },
  }
}
