import { type Identity, parseIdentity } from '../../lib/identity.ts'
import { AuthenticationError, type Caller } from '../auth.ts'
import { hasEnded } from '../convert/workload.ts'
import { type KubeObject, keyOf, type Pod } from '../kubernetes/objects.ts'
import { add, drop } from '../resources/resource-set.ts'

/** Decides who may ask for whose certificate: a node's proxy for the service accounts of the pods on its node, everybody for themselves. */
export class NodeAuthorizer {
  readonly #trusted: ReadonlySet<string>
  readonly #trustDomain: string
  readonly #pods = new Map<string, Pod>()
  /** `node/ns/account` → keys of pods. */
  readonly #running = new Map<string, Set<string>>()

  /** @param trusted `ns/account` of node proxies (CA_TRUSTED_NODE_ACCOUNTS) */
  constructor(trusted: readonly string[], trustDomain: string) {
    this.#trusted = new Set(trusted)
    this.#trustDomain = trustDomain
  }

  put(pod: Pod): void {
    this.remove(pod)
    this.#pods.set(keyOf(pod), pod)
    if (!hasEnded(pod) && pod.spec.nodeName) add(this.#running, placeOf(pod, pod.spec.nodeName), keyOf(pod))
  }

  remove(pod: KubeObject): void {
    const known = this.#pods.get(keyOf(pod))
    if (!known) return
    this.#pods.delete(keyOf(pod))
    if (known.spec.nodeName) drop(this.#running, placeOf(known, known.spec.nodeName), keyOf(pod))
  }

  /**
   * The identity that a caller gets a certificate for.
   * @param impersonated SPIFFE URI of somebody else, if it asks for one
   * @throws AuthenticationError with the reason, for the log
   */
  decide(caller: Caller, impersonated: string | undefined): Identity {
    const { namespace, serviceAccount } = caller
    if (impersonated === undefined) return { trustDomain: this.#trustDomain, namespace, serviceAccount }
    const no = (why: string): never => {
      throw new AuthenticationError(`${namespace}/${serviceAccount} may not ask for ${JSON.stringify(impersonated)}: ${why}`)
    }
    if (!this.#trusted.has(`${namespace}/${serviceAccount}`)) no('its service account is not among CA_TRUSTED_NODE_ACCOUNTS')
    const wanted = parseIdentity(impersonated) ?? no('that is no SPIFFE identity')
    if (wanted.trustDomain !== this.#trustDomain) no(`the trust domain is ${this.#trustDomain}`)
    if (!caller.pod) return no('its token is bound to no pod')
    const pod = this.#pods.get(`${namespace}/${caller.pod.name}`) ?? no(`its pod ${caller.pod.name} is not known`)
    if (pod.metadata.uid !== caller.pod.uid) no(`its pod ${caller.pod.name} is another one by now`)
    const node = pod.spec.nodeName ?? no('its pod is on no node')
    if (!this.#running.has(`${node}/${wanted.namespace}/${wanted.serviceAccount}`)) no(`no pod of it runs on node ${node}`)
    return wanted
  }
}

function placeOf(pod: Pod, node: string): string {
  return `${node}/${pod.metadata.namespace}/${pod.spec.serviceAccountName ?? 'default'}`
}
