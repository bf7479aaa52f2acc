import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { expect, test } from 'vitest'

/** Runs in network and mount namespaces of its own, which stand for the host: others look at the real one at the same time. */
const script = `
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, rmdirSync, rmSync } from 'node:fs'
import { compareHosts, snapshotHost } from ${JSON.stringify(join(import.meta.dirname, 'audit.ts'))}
const run = (line) => execFileSync('sh', ['-ec', line])
const tag = 'audit' + process.pid
const cgroup = '/sys/fs/cgroup/unified/' + tag
run('mount -t tmpfs none /run; mkdir /run/state; ip link set lo up')
const before = snapshotHost('/run/state')
const seen = () => compareHosts(before, snapshotHost('/run/state')).filter((d) => d.line.includes(tag)).map((d) => d.change + ' ' + d.kind)
run('ip netns add ' + tag)
run('ip link add ' + tag + ' type veth peer name x' + tag + ' && ip link set ' + tag + ' up && ip route add 10.1.0.0/16 dev ' + tag)
run('nft add table ip ' + tag + '; ipset create ' + tag + ' hash:ip')
run('mkdir /run/state/' + tag + ' /run/mnt' + tag + '; mount -t tmpfs none /run/mnt' + tag)
mkdirSync(cgroup)
const left = spawn('sleep', ['1000'], { env: { ...process.env, EVERYHOP_OWNER: tag }, stdio: 'ignore' })
await once(left, 'spawn')
const made = seen()
left.kill('SIGKILL')
await once(left, 'exit')
rmdirSync(cgroup)
run('umount /run/mnt' + tag + '; ipset destroy ' + tag + '; nft delete table ip ' + tag + '; ip link del ' + tag + '; ip netns del ' + tag)
const removed = seen()
rmSync('/run/state/' + tag, { recursive: true })
console.log(JSON.stringify({ made, removed, end: seen() }))
`

test('what is left is seen, of whatever kind, and that it is gone', () => {
  const out = execFileSync(
    'unshare',
    [
      '--net',
      '--mount',
      '--propagation',
      'private',
      process.execPath,
      '--disable-warning=ExperimentalWarning',
      '--v8-pool-size=0',
      '--input-type=module',
      '-e',
      script,
    ],
    { encoding: 'utf8' },
  )
  const { made, removed, end } = JSON.parse(out.trim().split('\n').at(-1) ?? '')
  const kinds = ['cgroups', 'ipsets', 'links', 'mounts', 'netns', 'processes', 'routes', 'rules', 'state']
  expect([...new Set(made)].sort()).toEqual(kinds.map((kind) => `added ${kind}`))
  expect(removed).toEqual(['added state'])
  expect(end).toEqual([])
})
