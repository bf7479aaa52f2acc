import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, existsSync, mkdtempSync, openSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs'
import { createServer, Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { AF_INET, SOCK_STREAM } from '../../../images/lib/libc.ts'
import { socketInNetns } from '../../../images/lib/netns.ts'
import { processesOf } from '../../processes.ts'
import { clean, newOwnerId } from '../../registry.ts'
import { command } from './command.ts'
import { startFabric } from './fabric.ts'
import type { LabNode } from './node.ts'
import { startNode } from './node.ts'
import { startTestLab, type TestLab } from './testing.ts'

/** The address that a server on `server` sees when `client` connects to it. */
async function exchange(server: LabNode, client: LabNode): Promise<string | undefined> {
  const inside = <T>(node: LabNode, fn: (fd: number) => T) => {
    const netns = openSync(node.netnsPath, 'r')
    const fd = socketInNetns(netns, AF_INET, SOCK_STREAM, node === server ? { bind: { address: '0.0.0.0', port: 8080 } } : {})
    closeSync(netns)
    return fn(fd)
  }
  const listener = inside(server, (fd) => createServer().listen({ fd }))
  const accepted = once(listener, 'connection') as Promise<[Socket]>
  const socket = inside(client, (fd) => new Socket({ fd }).connect(8080, server.address))
  const [peer] = await accepted
  const seen = peer.remoteAddress
  for (const end of [socket, peer, listener]) 'destroy' in end ? end.destroy() : end.close()
  return seen
}

const hostLinks = async () => (await command(['ip', '-o', 'link'])).split('\n').map((line) => line.split(': ')[1])
const hostMounts = () => readFileSync('/proc/self/mountinfo', 'utf8')

describe('a lab of two nodes', () => {
  let lab: TestLab
  let one: LabNode
  let two: LabNode
  let links: (string | undefined)[]
  beforeAll(async () => {
    links = await hostLinks()
    lab = await startTestLab(['one', 'two'])
    ;[one, two] = lab.nodes as [LabNode, LabNode]
  })
  afterAll(() => lab.teardown())

  test('a node has its own processes, and process 1 leads to its network namespace', async () => {
    const names = await one.run(['sh', '-c', 'cat /proc/[0-9]*/comm; readlink /proc/1/ns/net; hostname'])
    const lines = names.trim().split('\n')
    expect(lines.slice(0, 2)).toEqual(['tini', 'sleep'])
    expect(lines.at(-1)).toBe('one')
    expect(lines.at(-2)).toBe(readlinkSync(one.netnsPath))
    expect(lines.at(-2)).not.toBe(readlinkSync('/proc/self/ns/net'))
    // tini, sleep, the shell and its cat: nothing of the host.
    expect(lines.length).toBeLessThanOrEqual(6)
  })

  test('what is written on a node is seen neither on the host nor on the other node', async () => {
    for (const path of [
      '/etc/cni/net.d/99-x',
      '/opt/cni/bin/x',
      '/var/lib/kubelet/x',
      '/run/netns/x',
      '/tmp/kh-x',
      '/dev/shm/kh-x',
      '/etc/kh-x',
      '/usr/lib/kh-x',
    ]) {
      await one.run(['touch', path])
      expect(existsSync(one.hostPath(path)), path).toBe(true)
      expect(existsSync(two.hostPath(path)), path).toBe(false)
      expect(existsSync(path), path).toBe(false)
    }
    await one.run(['mount', '-t', 'tmpfs', 'kh-private', '/mnt'])
    expect(hostMounts()).not.toContain('kh-private')
  })

  test('nothing of it is in the network namespace or mount table of the host', async () => {
    expect((await hostLinks()).filter((name) => !links.includes(name) && /^(fabric|node\d|eth0)/.test(name ?? ''))).toEqual([])
    expect(hostMounts()).not.toContain(lab.directory)
  })

  test('nodes reach each other, and know the way to each other’s pods', async () => {
    expect(await exchange(two, one)).toBe(one.address)
    expect(await one.run(['ip', 'route'])).toContain(`10.244.2.0/24 via ${two.address} dev eth0`)
    expect(await two.run(['ip', 'route'])).toContain(`10.244.1.0/24 via ${one.address} dev eth0`)
    expect(await one.run(['cat', '/sys/class/net/eth0/mtu'])).toBe('1500\n')
  })

  test('forwarding is on and reverse paths are checked, as in kind', async () => {
    const values = await one.run(['sh', '-c', 'cd /proc/sys/net/ipv4; cat ip_forward conf/all/rp_filter'])
    expect(values).toBe('1\n1\n')
  })

  test('the CNI configuration is the primary network with the node’s range, its plugins are there', async () => {
    const list = JSON.parse(readFileSync(one.hostPath('/etc/cni/net.d/10-everyhop.conflist'), 'utf8'))
    expect(list.plugins[0]).toMatchObject({
      type: 'ptp',
      ipMasq: false,
      mtu: 1500,
      ipam: { type: 'host-local', ranges: [[{ subnet: '10.244.1.0/24' }]] },
    })
    await one.run(['sh', '-c', 'test -x /opt/cni/bin/ptp && test -x /opt/cni/bin/host-local'])
  })

  test('a process started on it has the owner’s mark, the pinned Node runs, and the repository cannot be written', async () => {
    const child = one.runProgram('clusters/lab/node/path-in-root.ts', [])
    expect(await once(child, 'exit')).toEqual([0, null])
    expect(await one.run(['sh', '-c', 'echo $EVERYHOP_OWNER'])).toBe(`${lab.registry.id}\n`)
    await expect(one.run(['touch', join(import.meta.dirname, 'x')])).rejects.toThrow(/Read-only/)
  })

  test('a process can be started in a namespace that the node names, through /var/run', async () => {
    await one.run(['touch', '/run/netns/other'])
    await one.run(['unshare', '-n', 'mount', '--bind', '/proc/self/ns/net', '/run/netns/other'])
    const own = await one.run(['ip', '-o', 'link'], { netns: '/var/run/netns/other' })
    expect(own).not.toContain('eth0')
    expect(own).toContain('lo:')
  })

  test('a command that fails says which, how and why', async () => {
    await expect(one.run(['ls', '/nowhere'])).rejects.toThrow(/ls \/nowhere: exit code 2: .*No such file/)
  })
})

test('start takes well under a second, teardown leaves nothing and may be repeated', async () => {
  const lab = await startTestLab(['one'])
  const began = performance.now()
  const node = await startNode({ name: 'timed', index: 9, directory: lab.directory, registry: lab.registry, fabric: lab.fabric })
  // Some 60 ms on an idle machine; the limit leaves room for a busy one.
  expect(performance.now() - began).toBeLessThan(1000)
  const pid = node.initPid
  const guest = node.spawn(['sleep', '1000'])
  await Promise.all([node.teardown(), node.teardown()])
  await node.teardown()
  if (guest.exitCode === null && guest.signalCode === null) await once(guest, 'exit')
  expect(existsSync(`/proc/${pid}`)).toBe(false)
  expect(existsSync(node.cgroup)).toBe(false)
  expect(readdirSync(lab.directory)).toEqual(['one', 'state'])
  expect(await lab.nodes[0]?.run(['ip', 'route'])).not.toContain('10.244.9.0')
  await lab.teardown()
  expect(processesOf(lab.registry.id)).toEqual([])
})

test('a node that cannot be made says why and leaves nothing', async () => {
  const lab = await startTestLab([])
  const options = { name: 'bad', index: 3, directory: lab.directory, registry: lab.registry, fabric: lab.fabric }
  await expect(startNode({ ...options, address: 'not-an-address' })).rejects.toThrow(/not-an-address/)
  await expect(startNode({ ...options, directory: '/proc/nowhere' })).rejects.toThrow(/ENOENT.*\/proc\/nowhere\/bad/)
  await expect(startNode({ ...options, name: 'Bad_Name' })).rejects.toThrow(/DNS label/)
  expect(readdirSync(lab.directory)).toEqual(['state'])
  expect(processesOf(lab.registry.id)).toEqual([lab.fabric.pid])
  await lab.teardown()
})

test('what a killed owner left is removed by the registry', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'everyhop-killed-'))
  const id = newOwnerId()
  const env = { ...process.env, EVERYHOP_STATE_DIR: join(directory, 'state') }
  const source = `
    const { Registry } = await import('${import.meta.dirname}/../../registry.ts')
    const { startFabric } = await import('${import.meta.dirname}/fabric.ts')
    const { startNode } = await import('${import.meta.dirname}/node.ts')
    const registry = Registry.open('${id}')
    const fabric = await startFabric({ registry })
    const node = await startNode({ name: 'orphan', index: 1, directory: '${directory}', registry, fabric })
    console.log(node.cgroup)
    setInterval(() => {}, 1000)`
  const owner = spawn(process.execPath, ['--input-type=module', '-e', source], { env, stdio: ['ignore', 'pipe', 'inherit'] })
  const [cgroup] = (await once(owner.stdout.setEncoding('utf8'), 'data')) as [string]
  owner.kill('SIGKILL')
  await once(owner, 'exit')
  expect(processesOf(id).length).toBeGreaterThan(2)
  process.env.EVERYHOP_STATE_DIR = env.EVERYHOP_STATE_DIR
  const report = await clean([id])
  expect(report.failed).toEqual([])
  expect(processesOf(id)).toEqual([])
  expect(existsSync(cgroup.trim())).toBe(false)
  expect(readdirSync(directory)).toEqual(['state'])
  rmSync(directory, { recursive: true })
})

test('a node can be torn down after its registry', async () => {
  const lab = await startTestLab(['one'])
  await lab.registry.teardown()
  expect(processesOf(lab.registry.id)).toEqual([])
  await lab.teardown()
})

test('startFabric can be torn down twice', async () => {
  const fabric = await startFabric({ registry: { id: newOwnerId(), register() {}, release() {} } })
  await fabric.teardown()
  await fabric.teardown()
  expect(existsSync(`/proc/${fabric.pid}`)).toBe(false)
})
