import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, expect } from 'vitest'
import { releaseNamed } from '../release.ts'
import { Bed, echo, exchange, type Pod } from './network.ts'
import { Ztunnel } from './ztunnel.ts'

const workload = (name: string, ip: string, protocol: string, extra = '') => `
  - uid: Kubernetes//Pod/demo/${name}
    name: ${name}
    namespace: demo
    serviceAccount: ${name}
    workloadIps: [${ip}]
    protocol: ${protocol}
    node: node-1
    workloadType: pod
    workloadName: ${name}
    canonicalName: ${name}
    canonicalRevision: latest
${extra}`

const httpbin = '    services: { demo/httpbin.demo.svc.cluster.local: { 80: 8080 } }\n'

/** The local state of the bed, with more YAML at its end. */
export const state = (
  policies = '',
) => `workloads:${workload('client', '10.77.0.2', 'HBONE')}${workload('server', '10.77.0.3', 'HBONE', httpbin)}${workload('plain', '10.77.0.4', 'TCP')}
services:
  - name: httpbin
    namespace: demo
    hostname: httpbin.demo.svc.cluster.local
    vips: [/10.96.0.80]
    ports: { 80: 8080 }
${policies}`

/**
 * A node with enrolled pods `client` and `server` (10.77.0.2, .3), an ordinary pod `plain` (.4) that is the name server too, and the real ztunnel in `own` (.9).
 * `server` and `plain` echo on 8080. Made before a file's tests and removed after them; a failed test shows the end of ztunnel's log.
 */
export class World {
  bed!: Bed
  zt!: Ztunnel
  client!: Pod
  server!: Pod
  plain!: Pod
  own!: Pod
  readonly #release: string

  constructor(release: string) {
    this.#release = release
  }

  async open(): Promise<void> {
    this.bed = new Bed()
    this.client = this.bed.pod('client', '10.77.0.2', true, this.#release)
    this.server = this.bed.pod('server', '10.77.0.3', true, this.#release)
    this.plain = this.bed.pod('plain', '10.77.0.4', false)
    this.own = this.bed.pod('zt', '10.77.0.9', false)
    this.zt = new Ztunnel()
    const resolvConf = join(this.zt.dir, 'resolv.conf')
    writeFileSync(resolvConf, `search istio-system.svc.cluster.local\nnameserver ${this.plain.ip}\n`)
    const env = { RESOLV_CONF: resolvConf, MESH_RELEASE: this.#release, RUST_LOG: 'info,dns=debug' }
    await this.zt.start(state(), { bed: this.bed, pod: this.own, env })
    const agent = await this.zt.agent()
    expect(await agent.hello).toBe(1)
    const { workloadInfoRequired } = releaseNamed(this.#release)
    for (const pod of [this.client, this.server])
      expect(await (workloadInfoRequired ? agent.add(pod, pod.name) : agent.addByUid(pod))).toBeUndefined()
    expect(await agent.send({ snapshotSent: {} })).toBeUndefined()
    for (const pod of [this.server, this.plain]) await this.bed.serve(pod, 8080, echo)
  }

  async close(): Promise<void> {
    await this.zt.close()
    this.bed.close()
  }

  /** A request from a pod, and the log line of the connection that its application made. */
  async call(pod: Pod, address: string, port: number, text: string): Promise<{ answer: string; line: string }> {
    const socket = this.bed.dial(pod, address, port)
    await new Promise((resolve) => socket.once('connect', resolve))
    const from = `${socket.localAddress}:${socket.localPort}`
    const answer = await exchange(socket, text).catch(() => '')
    return { answer, line: await this.zt.line(new RegExp(`src\\.addr=${from.replaceAll('.', '\\.')} `)) }
  }

  /** ztunnel's sockets in the server's namespace, as ss prints them. */
  listening(): string {
    return this.bed.run(this.server, 'ss -Htlnep sport ge 15000 2>/dev/null; ss -Hulne sport ge 15000 2>/dev/null')
  }
}

/** One world for the tests of a file. */
export function world(release = 'today'): World {
  const made = new World(release)
  beforeAll(() => made.open(), 30_000)
  afterAll(() => made.close())
  afterEach((context) => {
    if (context.task.result?.state === 'fail') console.error(made.zt.lines.slice(-12).join('\n'))
  })
  return made
}

/** Key=value fields of an access-log line, quotes taken off. */
export function fields(line: string): Record<string, string> {
  return Object.fromEntries(
    [
      ...line
        .split('\t')
        .at(-1)!
        .matchAll(/([\w.]+)=(?:"((?:[^"\\]|\\.)*)"|(\S+))/g),
    ].map((m) => [m[1]!, m[2] ?? m[3]!]),
  )
}
