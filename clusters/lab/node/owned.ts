import type { Registry } from '../../registry.ts'
import { compileCache } from './root.ts'

/** What nodes and kubelet need of the run's registry. */
export type Owned = Pick<Registry, 'id' | 'register' | 'release'>

/**
 * Environment that every process of the run starts with: the owner's mark, a search path that does not depend on who started the run,
 * and where Node finds compiled code (starting it is most of what a pod costs).
 */
export function ownedEnvironment(owner: Pick<Owned, 'id'>): {
  PATH: string
  HOME: string
  EVERYHOP_OWNER: string
  NODE_COMPILE_CACHE: string
} {
  return {
    PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    HOME: '/root',
    EVERYHOP_OWNER: owner.id,
    NODE_COMPILE_CACHE: compileCache,
  }
}
