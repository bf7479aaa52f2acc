import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, watch, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { memoryLog } from '../../testing/namespace.ts'
import { type AgentConfig, readConfig } from '../config.ts'
import { chain, unchain } from './conflist.ts'
import { Installer, pluginEntry } from './installer.ts'
import { NetDir } from './net-dir.ts'

const golden = readFileSync(new URL('../../fixtures/inpod/node-conflist.json', import.meta.url), 'utf8')
const env = { NODE_NAME: 'n', KUBERNETES_SERVICE_HOST: '10.96.0.1', KUBERNETES_SERVICE_PORT: '443' }
const entry = pluginEntry(readConfig(env))
const primary = () => {
  const conf = JSON.parse(golden)
  return `${JSON.stringify({ ...conf, plugins: conf.plugins.slice(0, -1) })}\n`
}

describe('editing a configuration', () => {
  test('gives what upstream writes, byte for byte, also when it is there already', () => {
    expect(chain(primary(), '10-everyhop.conflist', entry)).toEqual({ text: golden, fileName: '10-everyhop.conflist' })
    expect(chain(golden, '10-everyhop.conflist', entry).text).toBe(golden)
  })

  test('an old entry of ours is replaced, wherever it stands', () => {
    const conf = JSON.parse(golden)
    const old = { ...conf, plugins: [{ type: 'istio-cni', old: true }, ...conf.plugins.slice(0, -1)] }
    expect(chain(JSON.stringify(old), 'x.conflist', entry).text).toBe(golden)
  })

  test('a plain .conf becomes a list of a name of its own', () => {
    const conf = JSON.stringify({ cniVersion: '1.0.0', name: 'mine', type: 'bridge', bridge: 'b0' })
    const { text, fileName } = chain(conf, '10-bridge.conf', entry)
    expect(fileName).toBe('10-bridge.conflist')
    expect(JSON.parse(text)).toEqual({
      name: 'k8s-pod-network',
      cniVersion: '0.3.1',
      plugins: [{ name: 'mine', type: 'bridge', bridge: 'b0' }, entry],
    })
  })

  test('taking it out again leaves the rest', () => {
    expect(JSON.parse(unchain(golden, 'x.conflist')!)).toEqual(JSON.parse(primary()))
    expect(unchain(primary(), 'x.conflist')).toBe(primary())
    expect(unchain(JSON.stringify({ name: 'x', plugins: [{ type: 'istio-cni' }] }), 'x.conflist')).toBeUndefined()
    expect(unchain(JSON.stringify({ type: 'istio-cni' }), 'YYY-istio-cni.conf')).toBeUndefined()
  })

  test.each([
    ['{', 'a.conflist', /a.conflist: no JSON/],
    ['[]', 'a.conflist', /expected a JSON object/],
    ['{"plugins": [{"type": "x"}]}', 'a.conflist', /"name" is missing/],
    ['{"name": "x"}', 'a.conflist', /"plugins" is missing or empty/],
    ['{"name": "x", "plugins": [{}]}', 'a.conflist', /must have a "type"/],
    ['{"name": "x", "plugins": [{"type": "y"}]}', 'a.conf', /"type" is missing \(a list must be called .conflist\)/],
  ])('%s as %s is refused', (text, name, message) => {
    expect(() => chain(text, name, entry)).toThrow(message)
  })
})

describe('on a node', () => {
  let dir: string
  let config: AgentConfig
  let log: ReturnType<typeof memoryLog>
  let installer: Installer
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'everyhop-install-'))
    log = memoryLog()
    mkdirSync(join(dir, 'sa'))
    writeFileSync(join(dir, 'sa/token'), 'first')
    writeFileSync(join(dir, 'sa/ca.crt'), 'CA')
    config = readConfig({
      ...env,
      MOUNTED_CNI_NET_DIR: join(dir, 'net.d'),
      MOUNTED_CNI_BIN_DIR: join(dir, 'bin'),
      CNI_AGENT_RUN_DIR: join(dir, 'run'),
      SERVICE_ACCOUNT_DIR: join(dir, 'sa'),
    })
    installer = new Installer(config, log, 10)
  })
  afterEach(() => {
    installer.stop()
    rmSync(dir, { recursive: true })
  })
  const conflist = () => readFileSync(join(dir, 'net.d/10-everyhop.conflist'), 'utf8')

  /** Resolves when `condition` holds, looked at whenever a file of that directory changes. */
  function changed(path: string, condition: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      const watcher = watch(path, look)
      function look() {
        if (!condition()) return
        watcher.close()
        resolve()
      }
      look()
    })
  }

  test('the first valid configuration in alphabetical order is chained; broken ones are named and left', async () => {
    writeFileSync(join(dir, 'net.d/05-broken.conflist'), '{')
    writeFileSync(join(dir, 'net.d/10-everyhop.conflist'), primary(), { mode: 0o600 })
    writeFileSync(join(dir, 'net.d/20-later.conflist'), primary())
    await installer.start()
    expect(JSON.parse(conflist()).plugins.at(-1)).toEqual(pluginEntry(config))
    expect(statSync(join(dir, 'net.d/10-everyhop.conflist')).mode & 0o777).toBe(0o600)
    expect(readFileSync(join(dir, 'net.d/05-broken.conflist'), 'utf8')).toBe('{')
    expect(readFileSync(join(dir, 'net.d/20-later.conflist'), 'utf8')).toBe(primary())
    expect(log.lines).toContainEqual(expect.stringMatching(/warn CNI config ignored: 05-broken.conflist: no JSON/))
    expect(readdirSync(join(dir, 'net.d'))).toHaveLength(3)
    expect(log.lines).toContainEqual(`info Copied istio-cni to ${join(dir, 'bin')}`)
    expect(log.lines.at(-1)).toBe('info initial installation complete, start watching for re-installation')
  })

  test('a .conf is replaced by the list', async () => {
    writeFileSync(join(dir, 'net.d/10-b.conf'), '{"type": "bridge", "name": "b", "cniVersion": "0.4.0"}')
    await installer.start()
    expect(readdirSync(join(dir, 'net.d'))).toEqual(['10-b.conflist'])
  })

  test('waits for the primary plugin, then repairs whatever vanishes or is replaced: entry, executable, token, kubeconfig', async () => {
    const installed = installer.start()
    expect(existsSync(join(dir, 'bin/istio-cni'))).toBe(true)
    writeFileSync(join(dir, 'net.d/10-everyhop.conflist'), primary())
    await installed
    writeFileSync(join(dir, 'net.d/10-everyhop.conflist'), primary())
    await changed(join(dir, 'net.d'), () => conflist().includes('istio-cni'))
    rmSync(join(dir, 'bin/istio-cni'))
    await changed(join(dir, 'bin'), () => existsSync(join(dir, 'bin/istio-cni')))
    writeFileSync(join(dir, 'sa/token'), 'second')
    await changed(join(dir, 'run'), () => readFileSync(join(dir, 'run/istio-cni-kubeconfig'), 'utf8').includes('second'))
    writeFileSync(join(dir, 'run/istio-cni-kubeconfig'), 'of another agent')
    await changed(join(dir, 'run'), () => readFileSync(join(dir, 'run/istio-cni-kubeconfig'), 'utf8').includes('second'))
    expect(statSync(join(dir, 'run/istio-cni-kubeconfig')).mode & 0o777).toBe(0o600)
  })

  test('a configuration that sorts before ours later is chained too', async () => {
    writeFileSync(join(dir, 'net.d/10-everyhop.conflist'), primary())
    await installer.start()
    writeFileSync(join(dir, 'net.d/05-new.conflist'), primary())
    const now = () => readFileSync(join(dir, 'net.d/05-new.conflist'), 'utf8').includes('istio-cni')
    await changed(join(dir, 'net.d'), now)
  })

  test('who fights for the file is hinted at after some rounds', async () => {
    writeFileSync(join(dir, 'net.d/10-everyhop.conflist'), primary())
    await installer.start()
    for (let round = 0; round < 6; round++) {
      writeFileSync(join(dir, 'net.d/10-everyhop.conflist'), primary())
      await changed(join(dir, 'net.d'), () => conflist().includes('istio-cni'))
    }
    expect(log.lines.filter((l) => /cni.exclusive/.test(l))).toHaveLength(1)
  })

  test('removal takes our entry out of every file, and everything else we put there', async () => {
    writeFileSync(join(dir, 'net.d/10-everyhop.conflist'), primary())
    await installer.start()
    writeFileSync(join(dir, 'net.d/YYY-istio-cni.conf'), '{"type": "istio-cni", "name": "istio-cni"}')
    writeFileSync(join(dir, 'net.d/99-broken.conf'), '{')
    installer.remove()
    expect(JSON.parse(conflist())).toEqual(JSON.parse(primary()))
    expect(readdirSync(join(dir, 'net.d')).sort()).toEqual(['10-everyhop.conflist', '99-broken.conf'])
    expect(readdirSync(join(dir, 'bin'))).toEqual([])
    expect(readdirSync(join(dir, 'run'))).toEqual([])
    installer.remove()
  })

  test('a chosen file is taken instead of the first', () => {
    writeFileSync(join(dir, 'net.d/10-a.conflist'), primary())
    writeFileSync(join(dir, 'net.d/20-b.conflist'), primary())
    expect(new NetDir(join(dir, 'net.d'), '20-b.conflist', entry, log).ensure()).toBe('written')
    expect(readFileSync(join(dir, 'net.d/10-a.conflist'), 'utf8')).toBe(primary())
  })
})
