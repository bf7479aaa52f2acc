import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type CaFiles, generateCa, issueLeaf, loadCa } from '../../images/lib/ca.ts'
import { Bed, type Pod } from '../../images/ztunnel/testbed/network.ts'
import { Ztunnel } from '../../images/ztunnel/testbed/ztunnel.ts'

/** Where a client's tools call, and from which pod. */
export interface Path {
  readonly name: 'ztunnel' | 'haproxy'
  readonly client: Pod
  readonly server: Pod
  readonly http: string
  readonly bulk: { readonly host: string; readonly port: number }
}

const ports = { http: 8080, bulk: 5201, sealedHttp: 8443, sealedBulk: 8444, localHttp: 18080, localBulk: 15201 }
const quiet = 'access_log off; error_log /dev/null;'

/**
 * Two paths over the same hops: client's pod → its proxy → mutual TLS 1.3 over the node → the server's proxy in its pod → server (nginx, iperf3). One is made of
 * two ztunnels as in the mesh (redirection, HBONE), the other of two haproxies with one thread each that are called directly (TCP, one TLS connection each).
 */
export class Paths {
  readonly bed = new Bed()
  readonly #dir = mkdtempSync(join(tmpdir(), 'everyhop-bench-'))
  readonly #children: ChildProcess[] = []
  readonly #ztunnels: Ztunnel[] = []
  #ca!: CaFiles

  async open(): Promise<readonly [Path, Path]> {
    this.#ca = await generateCa()
    return [await this.#mesh(), await this.#haproxy()]
  }

  async #mesh(): Promise<Path> {
    const client = this.bed.pod('client', '10.80.0.2', true)
    const server = this.bed.pod('server', '10.80.0.3', true)
    const line = (name: string, ip: string) =>
      `  - { uid: ${name}, name: ${name}, namespace: demo, serviceAccount: ${name}, workloadIps: [${ip}], protocol: HBONE }\n`
    const state = `workloads:\n${line('client', client.ip)}${line('server', server.ip)}`
    for (const [i, pod] of [client, server].entries()) {
      const ztunnel = await this.ztunnel(this.bed.pod(`zt${i}`, `10.80.0.${8 + i}`, false), state)
      const agent = await ztunnel.agent()
      const failure = (await agent.add(pod, pod.name)) ?? (await agent.send({ snapshotSent: {} }))
      if (failure) throw new Error(failure)
    }
    await this.#serve(server)
    return { name: 'ztunnel', client, server, http: `http://${server.ip}:${ports.http}/`, bulk: { host: server.ip, port: ports.bulk } }
  }

  /** A ztunnel process of its own in `pod`, with a fake agent. */
  async ztunnel(pod: Pod, state: string): Promise<Ztunnel> {
    const ztunnel = new Ztunnel()
    this.#ztunnels.push(ztunnel)
    await ztunnel.start(state, { bed: this.bed, pod, ca: this.#ca })
    return ztunnel
  }

  async #haproxy(): Promise<Path> {
    const client = this.bed.pod('direct', '10.80.0.5', false)
    const server = this.bed.pod('target', '10.80.0.6', false)
    const root = join(this.#dir, 'root.pem')
    writeFileSync(root, this.#ca['root-cert.pem'])
    const tls = async (name: string) => {
      const leaf = await issueLeaf(loadCa(this.#ca), { trustDomain: 'cluster.local', namespace: 'demo', serviceAccount: name }, 3_600_000)
      const file = join(this.#dir, `${name}.pem`)
      writeFileSync(file, leaf.chainPem + leaf.keyPem)
      return `ssl crt ${file} ca-file ${root} verify required ssl-min-ver TLSv1.3 ciphersuites TLS_AES_256_GCM_SHA384`
    }
    const head =
      'global\n  nbthread 1\n  maxconn 4096\ndefaults\n  mode tcp\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n'
    const listen = (name: string, bind: string, to: string) => `listen ${name}\n  bind ${bind}\n  server s ${to}\n`
    const [own, other] = [await tls('direct'), await tls('target')]
    await this.#proxy(client, [
      head,
      listen('http', `127.0.0.1:${ports.localHttp}`, `${server.ip}:${ports.sealedHttp} ${own}`),
      listen('bulk', `127.0.0.1:${ports.localBulk}`, `${server.ip}:${ports.sealedBulk} ${own}`),
    ])
    await this.#proxy(server, [
      head,
      listen('http', `:${ports.sealedHttp} ${other}`, `127.0.0.1:${ports.http}`),
      listen('bulk', `:${ports.sealedBulk} ${other}`, `127.0.0.1:${ports.bulk}`),
    ])
    await this.#serve(server)
    return {
      name: 'haproxy',
      client,
      server,
      http: `http://127.0.0.1:${ports.localHttp}/`,
      bulk: { host: '127.0.0.1', port: ports.localBulk },
    }
  }

  async #proxy(pod: Pod, config: readonly string[]): Promise<void> {
    const file = join(this.#dir, `${pod.name}.cfg`)
    writeFileSync(file, config.join(''))
    this.#start(pod, ['haproxy', '-db', '-q', '-f', file])
    await this.#listens(pod, pod.name === 'direct' ? ports.localHttp : ports.sealedHttp)
  }

  async #serve(pod: Pod): Promise<void> {
    const prefix = join(this.#dir, `nginx-${pod.name}`)
    mkdirSync(prefix)
    const file = join(prefix, 'nginx.conf')
    const answer = `listen 0.0.0.0:${ports.http}; location / { return 200 "${'x'.repeat(64)}"; }`
    writeFileSync(
      file,
      `daemon off; pid ${prefix}/pid; worker_processes 1; error_log /dev/null; events {}\nhttp { ${quiet} keepalive_requests 1000000000;
        client_body_temp_path ${prefix}/b; proxy_temp_path ${prefix}/p; fastcgi_temp_path ${prefix}/f; uwsgi_temp_path ${prefix}/u; scgi_temp_path ${prefix}/s;
        server { ${answer} } }\n`,
    )
    this.#start(pod, ['nginx', '-p', prefix, '-c', file])
    this.#start(pod, ['iperf3', '-s', '-p', String(ports.bulk)])
    await this.#listens(pod, ports.http)
    await this.#listens(pod, ports.bulk)
  }

  #start(pod: Pod, argv: readonly string[]): void {
    const [command, args] = this.bed.wrap(pod, argv)
    const child = spawn(command, args, { stdio: ['ignore', 'ignore', argv[0] === 'iperf3' ? 'ignore' : 'inherit'] })
    this.#children.push(child)
  }

  async #listens(pod: Pod, port: number): Promise<void> {
    const end = performance.now() + 10_000
    while (this.bed.run(pod, `ss -Htln sport = ${port}`) === '') {
      if (performance.now() > end) throw new Error(`nothing listens on port ${port} of ${pod.name}`)
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }

  /** iperf3 serves one client at a time; the last one's connections take a moment to end. */
  async bulkServerFree({ server }: Path): Promise<void> {
    const end = performance.now() + 10_000
    while (this.bed.run(server, `ss -Htn state established sport = ${ports.bulk}`) !== '') {
      if (performance.now() > end) throw new Error('the former iperf3 is still connected')
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }

  async close(): Promise<void> {
    for (const child of this.#children) {
      if (child.exitCode !== null || child.signalCode !== null) continue
      child.kill('SIGTERM')
      await once(child, 'exit')
    }
    for (const ztunnel of this.#ztunnels) await ztunnel.close()
    this.bed.close()
    rmSync(this.#dir, { recursive: true, force: true })
  }
}
