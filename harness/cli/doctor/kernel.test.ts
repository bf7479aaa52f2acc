import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { doctor } from '../doctor.ts'
import { kernelFindings, kernelFix, kernelProbes } from './kernel.ts'
import { socketFindings } from './sockets.ts'

const program = join(import.meta.dirname, 'socket-probes.ts')
const quoted = (text: string) => `'${text.replaceAll("'", `'\\''`)}'`

test('the fix names the kernel options', () => {
  expect(kernelFix(['VETH', 'BRIDGE'])).toContain('a kernel with CONFIG_VETH, CONFIG_BRIDGE;')
})

// Namespaces need root.
describe.skipIf(process.getuid?.() !== 0)('as root', () => {
  test('this machine, where the lab runs, has all of it, and the probes leave nothing', async () => {
    const findings = [...(await kernelFindings()), ...(await socketFindings())]
    expect(findings.filter((f) => f.state !== 'ok')).toEqual([])
    expect(findings).toHaveLength(kernelProbes.length + 5)
    expect(execFileSync('ip', ['-o', 'link'], { encoding: 'utf8' })).not.toContain('everyhop')
    expect(execFileSync('nft', ['list', 'tables'], { encoding: 'utf8' })).not.toContain('everyhop_doctor')
  })

  test('each probe fails without the right to do what it probes', async () => {
    const weak = kernelProbes
      .filter((p) => p.id !== 'namespaces')
      .map((p) => ({ ...p, script: `exec setpriv --bounding-set -net_admin,-sys_admin sh -euc ${quoted(p.script)}` }))
    for (const { id, state, detail, fix } of await kernelFindings(weak)) {
      expect({ id, state }).toEqual({ id, state: 'missing' })
      expect(detail).toMatch(/\w/)
      expect(fix).toMatch(/^use a kernel with CONFIG_/)
    }
  })

  test('each socket probe fails without the right to do what it probes', () => {
    const weak = ['--net', 'setpriv', '--bounding-set', '-net_admin,-net_raw', process.execPath, program]
    const problems = JSON.parse(spawnSync('unshare', weak, { encoding: 'utf8' }).stdout)
    const refused = expect.stringMatching(/^\w+: errno \d+/)
    expect(problems).toEqual({
      nftrace: refused,
      'conntrack-events': refused,
      'socket-events': refused,
      'tpacket-v3': refused,
      transparent: refused,
    })
  })

  test('traces and conntrack events are proven by an event, not by a socket that could be opened', () => {
    const path = mkdtempSync(join(tmpdir(), 'everyhop-path-'))
    symlinkSync(execFileSync('sh', ['-c', 'command -v ip'], { encoding: 'utf8' }).trim(), join(path, 'ip'))
    const run = spawnSync('/usr/bin/unshare', ['--net', process.execPath, program], { encoding: 'utf8', env: { PATH: path } })
    rmSync(path, { recursive: true })
    const silent = expect.stringMatching(/^(recv: errno 11|no event came within a second).*nft/)
    expect(JSON.parse(run.stdout)).toEqual({
      nftrace: silent,
      'conntrack-events': silent,
      'socket-events': null,
      'tpacket-v3': null,
      transparent: null,
    })
  })

  test('the verb prints every finding and ends with the exit code', async () => {
    let text = ''
    const code = await doctor({ json: true, write: (t) => (text += t) })
    const { ready, findings } = JSON.parse(text)
    expect(findings.map((f: { id: string }) => f.id)).toEqual(
      expect.arrayContaining(['root', 'cgroup', 'memory', 'overlayfs', 'nftrace', 'leftovers']),
    )
    expect(code).toBe(ready ? 0 : 3)
  })
})
