import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { execa } from 'execa'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parseAllDocuments } from 'yaml'
import { meshManifests } from '../../clusters/manifests/mesh.ts'

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'everyhop-usage-'))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** `everyhop ARGS`, with a state folder of its own that tells whether anything was started. */
async function everyhop(...args: string[]) {
  const { exitCode, stdout, stderr } = await execa(process.execPath, [join(import.meta.dirname, 'main.ts'), ...args], {
    reject: false,
    cwd: folder,
    env: { EVERYHOP_STATE_DIR: join(folder, 'state'), NODE_OPTIONS: '--disable-warning=ExperimentalWarning --v8-pool-size=0' },
  })
  return { code: exitCode, stdout, stderr, started: existsSync(join(folder, 'state')) || existsSync(join(folder, 'out')) }
}

const listed = async (...args: string[]) => {
  const { code, stdout } = await everyhop('run', '--list', ...args)
  expect(code).toBe(0)
  return stdout.split('\n').map((line) => line.replace('  (quick)', ''))
}

test('--list prints the ids of the matrix; --quick only the quick ones, which it marks', async () => {
  const { stdout, started } = await everyhop('run', '--list')
  const all = stdout.split('\n')
  expect(all.length).toBeGreaterThanOrEqual(24)
  for (const line of all) expect(line).toMatch(/^inpod\/[a-z-]+\/(same|other)-node\/[a-z-]+\/[a-z0-9]+(\/[a-z0-9-]+)?( {2}\(quick\))?$/)
  expect(await listed('--quick')).toEqual(all.filter((l) => l.endsWith('(quick)')).map((l) => l.replace('  (quick)', '')))
  expect(started).toBe(false)
}, 60_000)

test('disruptions are for who asks for them: by --disruptions, behind the requests, or by name', async () => {
  const [requests, all, named, both] = await Promise.all([
    listed(),
    listed('--disruptions'),
    listed('--case', 'disruption/**'),
    listed('--quick', '--disruptions'),
  ])
  const loads = all.slice(requests.length)
  expect(all.slice(0, requests.length)).toEqual(requests)
  for (const line of loads) expect(line).toMatch(/^inpod\/disruption(\/[a-z-]+){1,3}$/)
  expect(loads.length).toBeGreaterThanOrEqual(9)
  expect(named).toEqual(loads)
  expect(both.slice(-loads.length)).toEqual(loads)
  expect(both.length).toBeLessThan(all.length)
})

test('--case picks, several add up, ! takes away; with or without the mode in front', async () => {
  const all = await listed()
  expect(await listed('--case', 'mesh-to-plain/**')).toEqual(all.filter((id) => id.startsWith('inpod/mesh-to-plain/')))
  expect(await listed('--case', 'inpod/probe/**', '--case', '**/pooled')).toEqual(all.filter((id) => /^inpod\/probe\/|\/pooled$/.test(id)))
  expect(await listed('--case', '!**/tcp', '--case', '!**/tcp/*')).toEqual(all.filter((id) => !id.includes('/tcp')))
  expect(await listed('--case', 'mesh-to-mesh/**', '--case', '!**/http', '--case', '!**/http/*')).toEqual(
    all.filter((id) => id.startsWith('inpod/mesh-to-mesh/') && !/\/http(\/|$)/.test(id)),
  )
}, 60_000)

test("--release names others than today's in the ids, several add up in the order asked for, and each has faults of its own", async () => {
  const today = await listed()
  const first = await listed('--release', '1.21')
  expect(first).toEqual(today.map((id) => id.replace(/^inpod\//, 'inpod@1.21/')))
  expect(await listed('--release', '1.21,today')).toEqual([...first.filter(Boolean), ...today])
  const { code, stdout } = await everyhop('mutate', '--list', '--release', '1.21')
  expect(code).toBe(0)
  expect(stdout).toMatch(/^inbound-tproxy-dropped /m)
  expect(stdout).not.toMatch(/^inbound-redirect-dropped /m)
}, 60_000)

test('several modes, each in its usual release or in those named that it has; a release that none has is refused', async () => {
  const inpod = await listed()
  const iptables = await listed('--mode', 'iptables')
  expect(iptables.filter(Boolean).every((id) => id.startsWith('iptables@1.20/'))).toBe(true)
  expect(iptables.map((id) => id.replace('iptables@1.20/', 'inpod/'))).toEqual(inpod)
  expect(await listed('--mode', 'inpod,iptables')).toEqual([...inpod.filter(Boolean), ...iptables])
  expect(await listed('--mode', 'inpod,iptables', '--release', 'today,1.20')).toEqual([...inpod.filter(Boolean), ...iptables])
}, 60_000)

describe('bad usage ends with 2, says what and how to go on, and starts nothing', () => {
  const good = `name: t
nodes: [one]
namespaces: { demo: {} }
pods:
  - { name: a, namespace: demo, node: two, app: httpbin }
`
  test.for<[string, string[], RegExp]>([
    ['no case matches', ['run', '--case', 'nothing/**'], /^everyhop: no case matches nothing\/\*\*; everyhop run --list shows all$/],
    ['all taken away', ['run', '--case', '!**'], /^everyhop: no case matches !\*\*; /],
    ['an unknown mode', ['run', '--mode', 'sidecar'], /sidecar is no mode; use inpod/],
    ['an unknown release', ['run', '--release', '1.2'], /^everyhop: mode inpod has no release 1\.2; use one of: .*today/],
    [
      'a release of another mode',
      ['run', '--mode', 'iptables', '--release', 'today'],
      /^everyhop: mode iptables has no release today; use one of: 1\.20$/,
    ],
    [
      'a mode that has none of the releases',
      ['run', '--mode', 'inpod,iptables', '--release', 'today'],
      /^everyhop: mode iptables has no release today; use one of: 1\.20$/,
    ],
    [
      'an unknown release to seed faults into',
      ['mutate', '--release', '1.2'],
      /^everyhop: mode inpod has no release 1\.2; use one of: .*today, 1\.21/,
    ],
    ...(['run', 'up'] as const).map((verb): [string, string[], RegExp] => [
      `${verb}: a mode that the topology's network has no place for`,
      [verb, '--mode', 'iptables', '--topology', './bridged.yaml'],
      /^everyhop: .*topology \.\/bridged\.yaml: mode iptables needs a route for each pod on its node, .*istio#46163.*; fix: another topology, (or mode|mode or case)$/,
    ]),
    ['an unknown option', ['run', '--fast'], /unknown option '--fast'/],
    ...['0', '-1', '2.5', '1e3', 'all', ''].map((n): [string, string[], RegExp] => [
      `${n || 'nothing'} at once`,
      ['run', '--concurrency', n],
      /use a whole number from 1 to 999/,
    ]),
    ['a budget that is no time', ['run', '--budget', 'soon'], /use seconds or minutes, such as 90s or 8m/],
    [
      'a budget that nothing fits into',
      ['run', '--budget', '0.1s'],
      /^everyhop: budget 0\.1 s: 0 of \d+ cases, about .*; fix: a longer --budget, or fewer cases$/,
    ],
    ['a cluster that is not up', ['run', '--cluster', 'x'], /^everyhop: no cluster is up; fix: everyhop up$/],
    ['a shell in no cluster', ['shell', 'one', '--', 'true'], /^everyhop: no cluster is up; fix: everyhop up$/m],
    ['a name that cannot be one', ['up', '--name', 'A b'], /^everyhop: --name A b: use lower-case letters, digits and dashes$/],
    ['a release that is not there to bring up', ['up', '--release', '0.1'], /^everyhop: mode inpod has no release 0\.1; use one of: /],
    ['a run that is not there', ['explain', 'x'], /^everyhop: there is no run below out\/; fix: /],
    ['one run to compare', ['diff', '.'], /^everyhop: diff takes two runs, or one run and --release twice$/],
    ['an unknown verb', ['walk'], /unknown command 'walk'/],
    [
      'a topology that is not there',
      ['run', '--topology', 'three-nodes'],
      /^everyhop: topology three-nodes: .*; fix: use one of two-nodes/,
    ],
    ['a topology with a mistake', ['run', '--topology', './wrong.yaml'], /^everyhop: \.\/wrong\.yaml:5: pods\.0\.node: "two" .*fix: /],
    ['a topology that is no YAML', ['run', '--topology', './bad.yaml'], /^everyhop: \.\/bad\.yaml:\d+: not YAML: .*\n {2}fix: /],
  ])('%s', async ([, args, message]) => {
    writeFileSync(join(folder, 'wrong.yaml'), good)
    writeFileSync(join(folder, 'bridged.yaml'), `network: bridge\n${good.replace('node: two', 'node: one')}`)
    writeFileSync(join(folder, 'bad.yaml'), 'nodes: [one\n')
    const { code, stdout, stderr, started } = await everyhop(...args)
    expect(stderr).toMatch(message)
    expect({ code, stdout, started }).toEqual({ code: 2, stdout: '', started: false })
  })
})

test.for([['judge'], ['explain', 'x'], ['diff', '.']])(
  '%s: a folder that is not there ends with 2, one that holds no run with 3',
  async (verb) => {
    writeFileSync(join(folder, 'file'), '')
    for (const [dir, expected, message] of [
      ['nowhere', 2, /^everyhop: there is no folder nowhere; fix: give the folder of a run\n?$/],
      ['.', 3, /^everyhop: \.: there is no bundle in it\. Give /],
      ['file', 3, /^everyhop: file: it is no folder\. Give /],
    ] as const) {
      const { code, stdout, stderr } = await everyhop(...verb, dir)
      // The first of two that cannot be read is named.
      if (verb[0] !== 'diff' || dir === 'nowhere') expect(stderr).toMatch(message)
      expect({ code, stdout }).toEqual({ code: expected, stdout: '' })
    }
  },
)

test('results that are cut off are told as that, not as a crash', async () => {
  mkdirSync(join(folder, 'cut'), { recursive: true })
  writeFileSync(join(folder, 'cut', 'results.json'), '{"schema": 1, "ca')
  const { code, stderr } = await everyhop('diff', 'cut', 'cut')
  expect(code).toBe(3)
  expect(stderr).toMatch(/^everyhop: cut\/results\.json: it is not JSON, or cannot be read: .*\. Give the folder of a run of this version$/)
})

test('a folder that reports cannot be written to is refused before anything is judged', async () => {
  writeFileSync(join(folder, 'file'), '')
  const { code, stderr } = await everyhop('judge', '.', '--out', 'file')
  expect({ code, stderr }).toEqual({
    code: 2,
    stderr: `everyhop: ${join(folder, 'file')} cannot be used: it is a file; fix: choose another folder with --out`,
  })
})

test('what cannot be printed, as on a full disk, ends with 3; a reader that has gone does not', async () => {
  const inShell = (script: string) =>
    execa(
      'bash',
      ['-c', script, process.execPath, '--disable-warning=ExperimentalWarning', '--v8-pool-size=0', join(import.meta.dirname, 'main.ts')],
      {
        reject: false,
        cwd: folder,
      },
    )
  const full = await inShell('"$0" "$@" run --list > /dev/full')
  expect({ code: full.exitCode, stderr: full.stderr }).toEqual({ code: 3, stderr: expect.stringMatching(/ENOSPC/) })
  const gone = await inShell('"$0" "$@" run --list | true; exit $PIPESTATUS')
  expect({ code: gone.exitCode, stderr: gone.stderr }).toEqual({ code: 0, stderr: '' })
})

test('a crash ends with 3, not as if the mesh had failed', async () => {
  const broken = join(folder, 'broken.mjs')
  // Throws outside of everything, as soon as somebody is there to hear it.
  writeFileSync(
    broken,
    `process.on('newListener', (event) => { if (event === 'uncaughtException') process.nextTick(() => { throw new Error('broken') }) })\n`,
  )
  const { exitCode, stderr } = await execa(process.execPath, ['--import', broken, join(import.meta.dirname, 'main.ts'), 'run', '--list'], {
    reject: false,
    cwd: folder,
  })
  expect({ exitCode, stderr }).toMatchObject({ exitCode: 3, stderr: expect.stringContaining('everyhop: Error: broken\n') })
})

describe('manifests', () => {
  const write = (name: string, text: string) => {
    writeFileSync(join(folder, name), text)
    return name
  }
  test('prints what is installed, as documents of YAML, with the settings of a values file; what has no effect is told', async () => {
    const file = write('mine.yaml', 'values: { cni: { ambient: { dnsCapture: false } }, global: { tag: v9, proxy: { logLevel: info } } }')
    const { code, stdout, stderr, started } = await everyhop('manifests', '--values', file)
    expect(code).toBe(0)
    const objects = parseAllDocuments(stdout).map((d) => d.toJS())
    expect(objects.map((o) => `${o.kind} ${o.metadata.name}`)).toEqual(
      expect.arrayContaining([
        'CustomResourceDefinition authorizationpolicies.security.istio.io',
        'DaemonSet istio-cni-node',
        'DaemonSet ztunnel',
        'Deployment istiod',
      ]),
    )
    expect(objects).toEqual(meshManifests({ mode: 'inpod', release: 'today', dnsCapture: false, settings: { all: { tag: 'v9' } } }))
    expect(stderr).toBe('everyhop: mine.yaml: values.global.proxy has no effect: sidecars are not made')
    expect(started).toBe(false)
  })

  test('they choose the mode where the command does not', async () => {
    const { code, stdout } = await everyhop(
      'manifests',
      '--values',
      write('mine.yaml', 'values: { cni: { ambient: { redirectMode: iptables } } }'),
    )
    expect(code).toBe(0)
    expect(parseAllDocuments(stdout).map((d) => d.toJS())).toEqual(meshManifests({ mode: 'iptables', release: '1.20' }))
  })

  test.each([
    [
      'manifests',
      'cni: { ambient: { redirectMode: ebpf } }',
      /redirectMode: ebpf is not supported: this mode is not made yet; fix: one of inpod/,
    ],
    [
      'run',
      'cni: { ambient: { dnsCaptured: true } }',
      /cni\.ambient\.dnsCaptured is not known; fix: did you mean cni\.ambient\.dnsCapture\?/,
    ],
    ['up', 'profile: sidecar', /profile: "sidecar" is not supported/],
  ])('%s refuses %s before anything is made', async (verb, text, said) => {
    const { code, stdout, stderr, started } = await everyhop(verb, '--values', write('wrong.yaml', text))
    expect([code, stdout, started]).toEqual([2, '', false])
    expect(stderr).toMatch(said)
  })

  test('a release that the mode does not have', async () => {
    expect(await everyhop('manifests', '--release', '1.3')).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('fix: use today or 1.21'),
    })
  })
})
