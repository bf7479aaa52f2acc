import type { Namespace } from '../types.ts'
import type { Strategy } from './strategy.ts'

/** A namespace lives until its contents are gone: `spec.finalizers` holds it, and only the finalize subresource changes that. */
export const namespaceStrategy: Strategy<Namespace> = {
  create(draft) {
    draft.spec = { finalizers: ['kubernetes'] }
    draft.status = { phase: 'Active' }
    draft.metadata.labels = { ...draft.metadata.labels, 'kubernetes.io/metadata.name': draft.metadata.name }
  },
  update(draft, old) {
    draft.spec = old.spec ?? {}
    draft.metadata.labels = { ...draft.metadata.labels, 'kubernetes.io/metadata.name': draft.metadata.name }
  },
}
