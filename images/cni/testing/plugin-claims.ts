import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { stringify } from 'yaml'
import { generateCa } from '../../lib/ca.ts'
import { kubeconfig } from '../agent/install/kubeconfig.ts'
import { type FakeApi, fakeApi } from './fake-api.ts'

const golden = JSON.parse(readFileSync(new URL('../fixtures/inpod/node-conflist.json', import.meta.url), 'utf8'))

/** What holds for the plugin, whatever runs it. @param command its argv, known when the first test starts */
export function pluginClaims(command: () => readonly string[]): void {
  let dir: string
  let api: FakeApi
  let agent: Server
  let logs: Server
  let events: { url: string; type: string | undefined; body: unknown }[]
  let logged: string[]
  let answer: { status: number; text: string }
  beforeEach(async () => {
    dir = mkdtempSync(join(tmpdir(), 'everyhop-plugin-'))
    mkdirSync(join(dir, 'run'))
    api = await fakeApi(dir)
    events = []
    logged = []
    answer = { status: 200, text: '' }
    const read = async (request: AsyncIterable<Buffer>) => {
      let text = ''
      for await (const chunk of request) text += chunk
      return text
    }
    agent = createServer(async (request, response) => {
      events.push({ url: `${request.method} ${request.url}`, type: request.headers['content-type'], body: JSON.parse(await read(request)) })
      response.writeHead(answer.status).end(answer.text)
    })
    logs = createServer(async (request, response) => {
      logged.push(...JSON.parse(await read(request)))
      response.end()
    })
    await Promise.all([
      new Promise<void>((resolve) => agent.listen(join(dir, 'run/pluginevent.sock'), resolve)),
      new Promise<void>((resolve) => logs.listen(join(dir, 'run/log.sock'), resolve)),
    ])
    writeFileSync(join(dir, 'run/istio-cni-kubeconfig'), kubeconfig(api.serviceAccountDir, { host: '127.0.0.1', port: String(api.port) }))
    api.put('namespaces', { metadata: { name: 'demo', labels: { 'istio.io/dataplane-mode': 'ambient' } } })
    api.put('namespaces', { metadata: { name: 'plain' } })
    api.put('namespaces', { metadata: { name: 'istio-system' } })
    for (const namespace of ['demo', 'plain'])
      api.put('pods', { metadata: { name: 'web', namespace }, spec: { containers: [{ name: 'c' }, { name: 'iperf' }] } })
  })
  afterEach(async () => {
    agent.closeAllConnections()
    await Promise.all([api.close(), new Promise((resolve) => agent.close(resolve)), new Promise((resolve) => logs.close(resolve))])
    rmSync(dir, { recursive: true })
  })

  const prevResult = {
    cniVersion: '0.3.1',
    interfaces: [{ name: 'eth0', sandbox: '/var/run/netns/cni-1' }],
    ips: [{ version: '4', interface: 0, address: '10.244.1.5/24', gateway: '10.244.1.1' }],
    dns: {},
  }
  const conf = (more: object = {}) => ({
    ...golden.plugins.at(-1),
    cniVersion: '0.3.1',
    name: 'everyhop',
    cni_agent_run_dir: join(dir, 'run'),
    prevResult,
    ...more,
  })

  async function plugin(verb: string, stdin: unknown, env: Record<string, string | undefined> = {}, pod = 'demo/web') {
    const [namespace, name] = pod.split('/')
    const [program = '', ...args] = command()
    const child = spawn(program, args, {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: {
        CNI_COMMAND: verb,
        CNI_CONTAINERID: 'abc',
        CNI_NETNS: '/var/run/netns/cni-1',
        CNI_IFNAME: 'eth0',
        CNI_PATH: '/opt/cni/bin',
        CNI_ARGS: `IgnoreUnknown=1;K8S_POD_NAMESPACE=${namespace};K8S_POD_NAME=${name};K8S_POD_INFRA_CONTAINER_ID=abc;K8S_POD_UID=u`,
        ...env,
      },
    })
    child.stdin.on('error', () => {})
    child.stdin.end(typeof stdin === 'string' ? stdin : JSON.stringify(stdin))
    let stdout = ''
    let stderr = ''
    child.stdout.on('data', (d) => {
      stdout += d
    })
    child.stderr.on('data', (d) => {
      stderr += d
    })
    const exit = await new Promise<number | null>((resolve) => child.once('close', resolve))
    return { exit, stdout, stderr, result: stdout === '' ? undefined : JSON.parse(stdout) }
  }

  describe('ADD', () => {
    test('of a mesh pod posts the event and prints the result of the plugin before', async () => {
      const { exit, result } = await plugin('ADD', conf())
      expect(exit).toBe(0)
      expect(result).toEqual(prevResult)
      expect(events).toEqual([
        {
          url: 'POST /cmdadd',
          type: 'application/json',
          body: {
            Netns: '/var/run/netns/cni-1',
            PodName: 'web',
            PodNamespace: 'demo',
            IPs: [{ Interface: 0, Address: { IP: '10.244.1.5', Mask: '////AA==' }, Gateway: '10.244.1.1' }],
          },
        },
      ])
    })

    test('of another pod asks the agent nothing and says why in the log, here and there', async () => {
      const { exit, result } = await plugin('ADD', conf(), {}, 'plain/web')
      expect(exit).toBe(0)
      expect(result).toEqual(prevResult)
      expect(events).toEqual([])
      const line = { level: 'info', msg: 'excluded because it does not have istio-proxy container (have [c iperf])', pod: 'plain/web' }
      expect(JSON.parse(logged[0]!)).toMatchObject(line)
      expect(JSON.parse(readFileSync(join(dir, 'run/istio-cni.log'), 'utf8'))).toMatchObject(line)
      expect(statSync(join(dir, 'run/istio-cni.log')).mode & 0o777).toBe(0o600)
    })

    test("of ztunnel is left alone, with upstream's words", async () => {
      api.put('pods', {
        metadata: { name: 'ztunnel-x', namespace: 'istio-system', labels: { app: 'ztunnel', 'istio.io/dataplane-mode': 'ambient' } },
        spec: { containers: [{ name: 'istio-proxy', args: ['proxy', 'ztunnel'] }] },
      })
      expect((await plugin('ADD', conf(), {}, 'istio-system/ztunnel-x')).exit).toBe(0)
      expect(events).toEqual([])
      expect(JSON.parse(logged[0]!).msg).toBe('excluded istio-system/ztunnel-x pod because it has proxy type ztunnel')
    })

    test.each([
      ["the agent's own pod", 'istio-system/istio-cni-node-x'],
      ['a pod of an excluded namespace', 'kube-system/coredns'],
    ])('of %s needs neither agent nor API server', async (_, pod) => {
      rmSync(join(dir, 'run'), { recursive: true })
      expect(await plugin('ADD', conf(), {}, pod)).toMatchObject({ exit: 0, result: prevResult })
    })

    test('of something that is no pod passes; standalone, it prints an empty result', async () => {
      const { prevResult: _, ...alone } = conf({ cniVersion: '1.0.0' })
      expect(await plugin('ADD', alone, { CNI_ARGS: '' })).toMatchObject({ exit: 0, result: { cniVersion: '1.0.0', dns: {} } })
    })

    test('fails with the words of the agent, or when it is not there', async () => {
      answer = { status: 500, text: 'no ztunnel connection' }
      const refused = await plugin('ADD', conf())
      expect(refused).toMatchObject({
        exit: 1,
        result: {
          cniVersion: '0.3.1',
          code: 999,
          msg: 'istio-cni cmdAdd failed to contact node Istio CNI agent: unable to push CNI event (status code 500): no ztunnel connection',
        },
      })
      expect(JSON.parse(logged[0]!)).toMatchObject({ level: 'error', pod: 'demo/web' })
      await new Promise((resolve) => agent.close(resolve))
      const away = await plugin('ADD', conf())
      expect(away).toMatchObject({
        exit: 1,
        result: { code: 999, msg: expect.stringMatching(/failed to contact node Istio CNI agent: .*ENOENT/) },
      })
    })

    test('fails when the pod is unknown, the API server refuses, or the kubeconfig is missing or broken', async () => {
      const unknown = await plugin('ADD', conf(), {}, 'demo/none')
      expect(unknown.result.msg).toMatch(/GET https:\/\/127.0.0.1:\d+\/api\/v1\/namespaces\/demo\/pods\/none: status 404/)
      const path = join(dir, 'run/istio-cni-kubeconfig')
      writeFileSync(path, readFileSync(path, 'utf8').replace('fake-token', 'other'))
      expect((await plugin('ADD', conf())).result.msg).toMatch(/status 401/)
      writeFileSync(path, '{"clusters": []}')
      expect((await plugin('ADD', conf())).result.msg).toMatch(/istio-cni-kubeconfig: clusters\[0\].cluster is missing/)
      rmSync(path)
      expect((await plugin('ADD', conf())).result).toMatchObject({ code: 999, msg: expect.stringContaining('ENOENT') })
      expect(events).toEqual([])
    })

    test('fails when the API server is another than the kubeconfig says: by its CA, or by its name', async () => {
      const path = join(dir, 'run/istio-cni-kubeconfig')
      const text = readFileSync(path, 'utf8')
      writeFileSync(path, text.replace('127.0.0.1', 'localhost'))
      expect((await plugin('ADD', conf())).result.msg).toMatch(/GET https:\/\/localhost:.*(hostname mismatch|does not match certificate)/i)
      const config = JSON.parse(text)
      config.clusters[0].cluster['certificate-authority-data'] = Buffer.from((await generateCa())['root-cert.pem']).toString('base64')
      writeFileSync(path, JSON.stringify(config))
      expect((await plugin('ADD', conf())).result.msg).toMatch(/GET https:.*self[- ]signed certificate/)
      expect(events).toEqual([])
    })

    test('fails when the agent does not answer in time', async () => {
      agent.removeAllListeners('request')
      expect((await plugin('ADD', conf())).result.msg).toMatch(/failed to contact node Istio CNI agent: no answer within 5000 ms$/)
    })

    test("reads an upstream agent's YAML kubeconfig", async () => {
      const path = join(dir, 'run/istio-cni-kubeconfig')
      writeFileSync(path, stringify(JSON.parse(readFileSync(path, 'utf8'))))
      expect((await plugin('ADD', conf())).exit).toBe(0)
      expect(events).toHaveLength(1)
    })

    test('is decided by the selectors of its configuration', async () => {
      const selectors = [{ podSelector: { matchLabels: { mesh: 'yes' } }, namespaceSelector: {} }]
      await plugin('ADD', conf({ enablement_selectors: selectors }))
      expect(events).toEqual([])
      api.put('pods', { metadata: { name: 'web', namespace: 'plain', labels: { mesh: 'yes' } }, spec: { containers: [] } })
      await plugin('ADD', conf({ enablement_selectors: selectors }), {}, 'plain/web')
      expect(events).toHaveLength(1)
      await plugin('ADD', conf({ enablement_selectors: selectors, ambient_enabled: false }), {}, 'plain/web')
      expect(events).toHaveLength(1)
    })
  })

  describe('other verbs', () => {
    test.each(['DEL', 'CHECK', 'GC', 'STATUS'])('%s succeeds without agent, and prints nothing', async (verb) => {
      rmSync(join(dir, 'run'), { recursive: true })
      expect(await plugin(verb, conf({ cniVersion: '1.1.0' }))).toMatchObject({ exit: 0, stdout: '' })
    })

    test('DEL works without namespace, and whatever our own keys hold', async () => {
      expect(await plugin('DEL', conf({ plugin_log_level: 7 }), { CNI_NETNS: undefined })).toMatchObject({ exit: 0, stdout: '' })
    })

    test('VERSION lists all versions', async () => {
      expect((await plugin('VERSION', '{}')).result).toEqual({
        cniVersion: '1.1.0',
        supportedVersions: ['0.1.0', '0.2.0', '0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0'],
      })
    })
  })

  describe('what it cannot work with is CNI error JSON with a code', () => {
    test.each<[string, string, unknown, Record<string, string | undefined>, number, RegExp]>([
      ['no JSON', 'ADD', '{"cniVersion": ', {}, 6, /stdin is no JSON/],
      ['nothing', 'ADD', '', {}, 6, /stdin is no JSON/],
      ['no object', 'ADD', '[]', {}, 6, /expected a JSON object/],
      ['a version that is no text', 'ADD', { cniVersion: 1, name: 'x' }, {}, 6, /cniVersion must be a string/],
      ['a version from the future', 'ADD', { cniVersion: '9.0.0', name: 'x' }, {}, 1, /incompatible CNI versions/],
      ['no name', 'ADD', { cniVersion: '1.0.0' }, {}, 7, /missing network name/],
      ['an odd name', 'ADD', { cniVersion: '1.0.0', name: 'a/b' }, {}, 7, /invalid characters found in network name/],
      ['a prevResult that is none', 'ADD', { cniVersion: '1.0.0', name: 'x', prevResult: 'y' }, {}, 6, /prevResult/],
      [
        'a key of ours of the wrong type',
        'ADD',
        { cniVersion: '1.0.0', name: 'x', exclude_namespaces: 'kube-system' },
        {},
        7,
        /exclude_namespaces must be a list of strings/,
      ],
      [
        'the same, asked for STATUS',
        'STATUS',
        { cniVersion: '1.1.0', name: 'x', ambient_enabled: 'yes' },
        {},
        7,
        /ambient_enabled must be true or false/,
      ],
      ['CHECK of an old version', 'CHECK', { cniVersion: '0.3.1', name: 'x' }, {}, 1, /config version does not allow CHECK/],
      ['GC of an old version', 'GC', { cniVersion: '1.0.0', name: 'x' }, {}, 1, /config version does not allow GC/],
      ['no command', 'ADD', '{}', { CNI_COMMAND: undefined }, 4, /\[CNI_COMMAND\] missing/],
      ['an unknown command', 'FLY', '{}', {}, 4, /unknown CNI_COMMAND: FLY/],
      ['no namespace', 'ADD', '{}', { CNI_NETNS: undefined, CNI_PATH: undefined }, 4, /\[CNI_NETNS,CNI_PATH\] missing/],
      [
        'an odd container id',
        'ADD',
        { cniVersion: '1.0.0', name: 'x' },
        { CNI_CONTAINERID: '../x' },
        4,
        /invalid characters in containerID/,
      ],
      ['an odd interface name', 'ADD', { cniVersion: '1.0.0', name: 'x' }, { CNI_IFNAME: 'a/b' }, 4, /invalid interface name/],
      [
        'odd arguments',
        'ADD',
        { cniVersion: '1.0.0', name: 'x' },
        { CNI_ARGS: 'K8S_POD_NAME' },
        4,
        /CNI_ARGS: invalid pair "K8S_POD_NAME"/,
      ],
    ])('%s', async (_, verb, stdin, env, number, message) => {
      const { exit, result, stderr } = await plugin(verb, stdin, env)
      expect(exit).toBe(1)
      expect(result).toMatchObject({ cniVersion: expect.any(String), code: number, msg: expect.stringMatching(message) })
      expect(stderr).toBe('')
    })
  })
}
