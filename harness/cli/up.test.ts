import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { HostSnapshot } from '../../clusters/audit.ts'
import type { Standing } from '../../clusters/standing.ts'
import { resultsSchema } from '../../reports/results.ts'
import { Command } from '../run/main-job/command.ts'
import { StandInHost } from '../run/main-job/stand-in-host.ts'

describe.skipIf(process.getuid?.() !== 0)('a cluster that is up (needs root)', () => {
  const host = new StandInHost()
  let before: HostSnapshot
  let standing: Standing
  const everyhop = (...args: string[]) => new Command(host, args).ended
  const inside = (place: string, ...command: string[]) => everyhop('shell', place, '--', ...command)

  beforeAll(async () => {
    await host.start()
    before = await host.snapshot()
    const up = await everyhop('up', '--json')
    if (up.code !== 0) throw new Error(up.stderr)
    standing = JSON.parse(up.stdout)
    host.owners()
  }, 120_000)
  afterAll(async () => {
    // What a failed test left up is no killed run, which the host's own end cleans up.
    await everyhop('down', '--all')
    await host[Symbol.asyncDispose]()
  })

  test('a second `up` tells that it stands, and with other wishes how to get them', async () => {
    const again = await everyhop('up')
    expect(again.code).toBe(0)
    expect(again.stdout).toMatch(
      /^cluster default stands already: mode inpod, release today, topology two-nodes\n {2}one +172\.30\.0\.11 +\S+/,
    )
    const other = await everyhop('up', '--topology', './other.yaml')
    expect(other).toMatchObject({ code: 2, stdout: '' })
    expect(other.stderr).toContain(
      'cluster default stands with provider lab, mode inpod, release today, topology two-nodes; fix: use another --name, or everyhop down default',
    )
  })

  test('`clean` leaves it alone and says what it is', async () => {
    const { code, stdout } = await everyhop('clean')
    expect([code, stdout]).toEqual([
      0,
      `${standing.handle.id}: is cluster default, which is up, not touched; take it down: bin/everyhop down default\n`,
    ])
  })

  test('`shell POD` runs a command in its network, files and processes, with its exit code and output', async () => {
    const address = await inside('sleep-one-a', 'ip', '-4', '-br', 'addr', 'show', 'eth0')
    expect(address).toMatchObject({ code: 0, stderr: '' })
    expect(address.stdout).toMatch(/^eth0\S* +UP +10\.244\.1\.\d+\/\d+/)
    expect((await inside('demo/sleep-one-a', 'iptables-save')).stdout).toContain('REDIRECT --to-ports 15001')
    // Process 1 is the container's own.
    expect((await inside('sleep-one-a', 'cat', '/proc/1/cmdline')).stdout).toContain('images/sleep')
    expect((await inside('sleep-one-a', 'sh', '-c', 'exit 7')).code).toBe(7)
    expect((await inside('sleep-one-a', 'sh', '-c', 'kill -TERM $$')).code).toBe(143)
    expect((await inside('sleep-one-a', 'echo', '--help', '--', '-x')).stdout).toBe('--help -- -x\n')
  })

  test('`shell NODE` is on the node: its name, its pods, the tools of a run on PATH', async () => {
    const { stdout } = await inside(
      'two',
      'sh',
      '-c',
      'hostname; ls /var/run/netns | wc -l; for tool in nft ipset everyhop node; do command -v $tool; done | wc -l',
    )
    const [name, pods, tools] = stdout.split('\n')
    expect([name, tools]).toEqual(['two', '4'])
    expect(Number(pods)).toBeGreaterThan(5)
  })

  test('a place that is not there, or is not told exactly, lists what there is and ends with 2', async () => {
    const several = await inside('ztunnel', 'true')
    expect(several.code).toBe(2)
    expect(several.stderr).toMatch(
      /^everyhop: several pods are called ztunnel; name one:\n( {2}istio-system\/ztunnel-\w+ on node (one|two)\n){2}$/,
    )
    const none = await inside('nobody', 'true')
    expect(none.code).toBe(2)
    expect(none.stderr).toContain('there are nodes one, two and pods:\n  demo/')
    expect(await everyhop('shell', 'one', '--cluster', 'other')).toMatchObject({
      code: 2,
      stderr: 'everyhop: no cluster other is up; fix: use one of: default\n',
    })
  })

  test('`run --cluster` with another release than the cluster has is refused, with what it has', async () => {
    const other = await everyhop('run', '--cluster', 'default', '--release', '1.21')
    expect(other).toMatchObject({ code: 2, stdout: '' })
    expect(other.stderr).toBe(
      'everyhop: cluster default stands with provider lab, mode inpod, release today, topology two-nodes; fix: leave --release out, or bring up another with everyhop up\n',
    )
  })

  test('`run --cluster` is refused when what the cluster was made of has changed since', async () => {
    const file = join(host.folder, 'state/files', standing.handle.id, 'standing.json')
    const record = readFileSync(file, 'utf8')
    writeFileSync(file, record.replace(standing.fingerprint, 'of-other-images'))
    try {
      expect(await everyhop('run', '--cluster', 'default')).toMatchObject({
        code: 2,
        stdout: '',
        stderr:
          'everyhop: cluster default stands, but its images or their manifests have changed since; fix: everyhop down default, then up again\n',
      })
    } finally {
      writeFileSync(file, record)
    }
  })

  test('`run --cluster` runs on it, and it stays', async () => {
    const folder = join(host.folder, 'on-default')
    const { code, stdout, stderr } = await everyhop(
      'run',
      '--cluster',
      'default',
      '--case',
      'plain-to-mesh/same-node/pod-ip/http',
      '--json',
      '--out',
      folder,
    )
    expect(code, stderr).toBe(0)
    expect(resultsSchema.parse(JSON.parse(stdout)).totals.pass).toBe(1)
    expect(stderr).toContain('cluster default stays up')
    expect((await everyhop('up')).stdout).toContain('stands already')
    // To whoever finds what is left of it.
    expect(readFileSync(join(host.folder, 'state', `${standing.handle.id}.label`), 'utf8')).toBe('everyhop up --name default')
  }, 90_000)

  test('`down` removes it, with all that is of it', async () => {
    expect((await everyhop('down', 'other')).code).toBe(2)
    const down = await everyhop('down')
    expect([down.code, down.stderr]).toEqual([0, ''])
    expect(down.stdout).toMatch(/^cluster default is taken down \(\d+\.\d s\)\n$/)
    expect(await host.left(before)).toEqual([])
    expect(readdirSync(join(host.folder, 'state/files'))).toEqual([])
    expect(await everyhop('down')).toMatchObject({ code: 0, stdout: 'no cluster is up\n' })
    expect(await inside('one', 'true')).toMatchObject({ code: 2, stderr: 'everyhop: no cluster is up; fix: everyhop up\n' })
  }, 60_000)

  test('ended while it comes up, it leaves nothing', async () => {
    const command = new Command(host, ['up', '--name', 'short'])
    // Its owner is on record before anything of it is made.
    await expect.poll(() => readdirSync(join(host.folder, 'state')).some((name) => name.endsWith('.jsonl')), { timeout: 20_000 }).toBe(true)
    host.owners()
    command.kill('SIGTERM')
    const { code, stderr } = await command.ended
    expect(code).toBe(3)
    expect(stderr).toContain('everyhop: cluster short does not stand: ')
    expect(await host.left(before)).toEqual([])
  }, 60_000)
})
