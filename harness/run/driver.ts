import { randomBytes } from 'node:crypto'
import type { Cluster } from '../../clusters/cluster.ts'
import type { KubernetesObject } from '../../clusters/kubernetes.ts'
import { meshCa } from '../../clusters/mesh-ca.ts'
import type { ClientRequest } from '../../images/lib/app-protocol.ts'
import type { Observation } from '../evidence/observation.ts'
import type { CollectorSession } from '../evidence/session.ts'
import type { Expectation } from '../judge/expectation.ts'
import { type Participant, spokenIn } from '../matrix/bind.ts'
import type { Place } from '../modes/place.ts'
import type { Attempt } from '../traffic/attempt.ts'
import { Certificates } from '../traffic/certificates.ts'
import { allowOnly, denyAll, strictIn } from '../traffic/policies.ts'
import { type Asked, askedFor, askedOf, HBONE_PORT, portOf } from './asked.ts'
import type { BundleWriter } from './bundle-write.ts'
import { Claims, claimOf, shared } from './claims.ts'
import { appPorts, restsOnListener, tcpPorts } from './decisive.ts'
import { isKnown, policyName, strictPolicy, workloadName } from './known.ts'
import type { Phase, Step } from './phases.ts'
import { settled } from './settled.ts'
import type { Tail } from './tail.ts'

export interface DriverOptions {
  readonly cluster: Pick<Cluster, 'apply' | 'delete' | 'kubeconfig'>
  readonly sessions: ReadonlyMap<string, CollectorSession>
  readonly tail: Tail
  readonly writer: BundleWriter
  readonly participants: readonly Participant[]
  /** Nodes whose ztunnel has to know a policy before it counts. */
  readonly nodes: readonly string[]
  /** Cases in flight at once, at most. */
  readonly concurrency: number
}

/** A request's whole time, milliseconds: longer than ztunnel's connect time-out of 10 s would only hide it. */
const REQUEST_TIMEOUT = 5000
/** 8 MiB both ways take a tenth of a second on a machine that has nothing else to do. */
const BULK_TIMEOUT = 20_000
/** What a request leaves in logs and sockets comes within milliseconds; after this long it does not come. */
const SETTLE_TIMEOUT = 1500
const POLICY_TIMEOUT = 5000

type Role = Attempt['role']

/** A marker that has come out of all streams, and when. */
interface Mark {
  readonly id: string
  readonly at: number
}

/**
 * Makes the requests of cases. Those that are asked for at once run at once only where they share no pod: so never two are in flight on one pooled
 * connection, and what belongs to a request between its markers is told from the others' by its pods.
 */
export class Driver {
  readonly #o: DriverOptions
  readonly #run = randomBytes(3).toString('hex')
  readonly #turns: Claims
  readonly #mark: () => Promise<Mark>
  #marks = 0
  #last: Mark = { id: '', at: 0 }
  #policies: readonly KubernetesObject[] = []
  readonly #certificates: Certificates

  constructor(options: DriverOptions) {
    this.#o = options
    this.#turns = new Claims(options.concurrency)
    this.#certificates = new Certificates(() => meshCa(options.cluster))
    this.#mark = shared(() => this.#newMark())
  }

  /** Brings the cluster into the state that a phase asks for; on return every ztunnel knows it. */
  async enter(phase: Phase, expectations: readonly Expectation[]): Promise<void> {
    const mine = expectations.filter((e) => phase.steps.some((s) => s.case.id === e.case.id))
    await this.#apply(this.#policiesOf(phase.policies, mine))
    await this.#mark()
  }

  /** Takes away what `enter` applied. */
  async leave(): Promise<void> {
    await this.#apply([])
  }

  /**
   * Makes one request of a case, and what belongs to it, between markers, once no other that is in flight uses its pods.
   * @returns whether it was made: `signal` ends the wait for its turn
   */
  async step(role: Step['role'], e: Expectation, signal?: AbortSignal): Promise<boolean> {
    const make = () => this.#step(role, e).then(() => true)
    return (await this.#turns.with(claimOf(e), make, signal)) ?? false
  }

  async #step(role: Step['role'], e: Expectation): Promise<void> {
    if (e.case.traffic === 'mesh-to-impostor') await this.#disguise(e, role === 'main')
    if (role === 'main') return this.#main(e)
    const negative = () => this.#attempt(e, 'negative', e.client, e.server)
    await (restsOnListener(e.case) ? this.#closed(e, negative) : negative())
  }

  async #main(e: Expectation): Promise<void> {
    if (e.case.connection === 'pooled') await this.#attempt(e, 'opening', e.client, e.server)
    if (e.case.policy === 'revoked') return this.#overtaken(e)
    await this.#attempt(e, 'main', e.client, e.server, 'positive')
  }

  /** A request that a policy forbids when the server has it, and works at its answer. */
  async #overtaken(e: Expectation): Promise<void> {
    const from = this.#o.tail.position
    const attempt = this.#attempt(e, 'main', e.client, e.server, 'positive')
    const arrived = (told: readonly Observation[]) =>
      told.some((t) => t.kind === 'served' && t.netns === e.server.netns && t.node === e.server.node)
    try {
      if (await this.#o.tail.until(arrived, from, REQUEST_TIMEOUT)) await this.#apply(this.#policiesOf('deny everything', [e]))
    } finally {
      await attempt
    }
  }

  /** One request between two markers; together with it, if asked for, the unmeshed request on the same nodes. */
  async #attempt(e: Expectation, role: Role, client: Place, server: Place, beside?: Role): Promise<void> {
    const before = this.#last
    const from = this.#o.tail.position
    const plain = beside && this.#plainPair(client.node, server.node)
    const [main, positive] = await Promise.all([
      this.#request(client, await askedFor(e, role, this.#certificates)),
      plain &&
        this.#request(
          plain[0],
          e.case.question ? askedOf(e, e.destination) : askedOf({ case: e.case }, `${plain[1].ip}:${appPorts[spokenIn(e.case)].pod}`),
        ),
    ])
    // A refused request leaves what it leaves; who was answered was served, and for what is to be proven, what its path says must be told.
    const answered = [main, ...(positive ? [positive] : [])].filter((r) => r.result.ok && r.request.protocol !== 'dns')
    const servers = (told: readonly Observation[]) =>
      answered.every((r) => told.some((t) => t.kind === 'served' && t.body.includes(r.token)))
    const path = role === 'main' ? settled(e, main.result) : () => true
    await this.#o.tail.until((told) => servers(told) && path(told), from, SETTLE_TIMEOUT)
    const after = await this.#mark()
    const window = { from: before.at, to: after.at }
    const markers = { before: before.id, after: after.id }
    const common = { case: e.case.id, window, markers }
    const without = role === 'negative' ? { without: e.decisive } : {}
    this.#o.writer.attempt({ ...common, ...main, ...without, role, client: where(client), server: where(server) })
    if (plain && positive)
      this.#o.writer.attempt({ ...common, ...positive, role: beside, client: where(plain[0]), server: where(plain[1]) })
  }

  async #request(client: Place, asked: Asked): Promise<Pick<Attempt, 'token' | 'request' | 'result'>> {
    const token = randomBytes(16).toString('hex')
    const pod = client.netns === 'node' ? undefined : { uid: this.#participant(client).uid }
    const request: ClientRequest = {
      id: token,
      ...asked,
      body: token,
      timeoutMs: asked.exchange === 'bulk' ? BULK_TIMEOUT : REQUEST_TIMEOUT,
    }
    const { ok, body, localAddress, localPort, status, answer, sent, received, error, startedAt, endedAt } = await this.#session(
      client.node,
    ).request(request, pod)
    // Not the tunnel: it has a key in it.
    const { tunnel: _, ...told } = asked
    return {
      token,
      request: told,
      result: {
        ok,
        echoed: body?.includes(token) ?? false,
        startedAt,
        endedAt,
        ...(status === undefined ? {} : { status }),
        ...(answer && { answer }),
        ...(sent && { sent }),
        ...(received && { received }),
        ...(localAddress === undefined ? {} : { localAddress }),
        ...(localPort === undefined ? {} : { localPort }),
        ...(error ? { error } : {}),
      },
    }
  }

  /** A marker through every stream of every node: the fence between two attempts. */
  async #newMark(): Promise<Mark> {
    const id = `${this.#run}${`${++this.#marks}`.padStart(6, '0')}`
    const started = Date.now() * 1000
    // A stream that does not show it makes the case inconclusive; the judge will see that for itself.
    await Promise.all([...this.#o.sessions.values()].map((s) => s.mark(id).catch(() => {})))
    this.#last = { id, at: Math.max(started, Date.now() * 1000) }
    return this.#last
  }

  #policiesOf(kind: Phase['policies'], expectations: readonly Expectation[]): KubernetesObject[] {
    if (kind === 'none') return []
    if (kind === 'strict') return [...new Set(expectations.map((e) => this.#participant(e.server).namespace))].map(strictIn)
    if (kind === 'deny everything') {
      const servers = new Map(expectations.map((e) => [e.server.netns, this.#participant(e.server)]))
      return [...servers.values()].map((server) => denyAll(server, tcpPorts))
    }
    return expectations.map((e) => {
      const { principal } = this.#participant(e.client)
      return allowOnly(this.#participant(e.server), e.case.policy === 'allow' ? principal : `${principal}-stranger`)
    })
  }

  async #apply(policies: readonly KubernetesObject[]): Promise<void> {
    const gone = this.#policies
    this.#policies = policies
    // One after the other: a policy that is made anew under its name would be no change to anybody.
    await this.#told(gone, 'removed', () => this.#o.cluster.delete(gone))
    await this.#told(policies, 'put', () => this.#o.cluster.apply(policies))
  }

  /** Does `work` and waits until every ztunnel was told of these policies, and of the workloads that are under them. */
  async #told(policies: readonly KubernetesObject[], how: 'put' | 'removed', work: () => Promise<void>): Promise<void> {
    if (policies.length === 0) return
    const from = this.#o.tail.position
    await work()
    const names = [...new Set(policies.map(resourceOf))]
    const under = this.#o.participants.filter((p) => policies.some((policy) => isUnder(p, policy)))
    const workloads = under.map((p) => workloadName(p.namespace, p.name))
    const awaited = how === 'put' ? { put: [...names, ...workloads], removed: [] } : { put: workloads, removed: names }
    if (await this.#o.tail.until((told) => isKnown(awaited, this.#o.nodes, told), from, POLICY_TIMEOUT)) return
    const what = `${names.join(', ')} (${how}) and ${workloads.length} workloads`
    throw new Error(`not every ztunnel was told of ${what} within ${POLICY_TIMEOUT / 1000} s: see the logs in the bundle`)
  }

  /** Gives the impostor somebody else's certificate, or the one that it should have. */
  async #disguise(e: Expectation, asSomebody: boolean): Promise<void> {
    const { uid, identity } = this.#participant(e.server)
    const certificate = await this.#certificates.issue(asSomebody ? `${identity}-stranger` : identity, 'mesh')
    const command = { id: randomBytes(4).toString('hex'), action: 'hbone', port: HBONE_PORT, certificate } as const
    const { ok, error } = await this.#session(e.server.node).server(command, { uid })
    if (!ok) throw new Error(`${e.server.netns} does not listen for HBONE: ${error}`)
  }

  async #closed(e: Expectation, work: () => Promise<void>): Promise<void> {
    const server = this.#participant(e.server)
    const port = portOf(e.endpoint)
    const tell = (action: 'close' | 'open') =>
      this.#session(server.node).server({ id: randomBytes(4).toString('hex'), action, port }, { uid: server.uid })
    await tell('close')
    try {
      await work()
    } finally {
      await tell('open')
    }
  }

  #session(node: string): CollectorSession {
    const session = this.#o.sessions.get(node)
    if (!session) throw new Error(`no collector runs on node ${node}`)
    return session
  }

  #participant(place: Place): Participant {
    return this.#o.participants.find((p) => p.ip === place.ip) ?? (place as Participant)
  }

  /** An unmeshed client and server on the same nodes. */
  #plainPair(from: string, to: string): [Participant, Participant] {
    const pick = (app: 'sleep' | 'httpbin', node: string) =>
      this.#o.participants.find((p) => p.app === app && p.node === node && !p.enrolled && !p.impostor)
    const client = pick('sleep', from)
    const server = pick('httpbin', to)
    if (!client || !server)
      throw new Error(`the topology has no unmeshed sleep on node ${from} and httpbin on node ${to}: the positive control needs both`)
    return [client, server]
  }
}

const where = ({ node, netns }: Place) => ({ node, netns })

/** The name under which ztunnels are told of a policy. */
function resourceOf({ kind, metadata }: KubernetesObject): string {
  return kind === 'PeerAuthentication' ? strictPolicy : policyName(metadata.namespace ?? '', metadata.name)
}

/** Does a workload change with a policy: is it named there, by the labels of the policy's selector? */
function isUnder({ namespace, name }: Participant, { metadata, spec }: KubernetesObject): boolean {
  const { selector } = spec as { selector?: { matchLabels: Record<string, string> } }
  return metadata.namespace === namespace && (selector === undefined || selector.matchLabels.app === name)
}
