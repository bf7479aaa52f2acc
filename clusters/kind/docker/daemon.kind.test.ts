import { existsSync, globSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { execa } from 'execa'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { compareHosts, snapshotHost } from '../../audit.ts'
import { containersInDaemon, daemonPid, startDaemon, stopDaemon } from './daemon.ts'
import { exitProgram } from './exit-program.ts'
import { runsPrivileged } from './find-docker.ts'

let directory: string
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'eh-docker-'))
})
afterAll(async () => {
  await stopDaemon(directory)
  rmSync(directory, { recursive: true, force: true })
})

/** Of the host: what others, which may start and end at the same time, do not change; mounts and cgroups of this daemon. */
function host() {
  const { links, rules, policyRules, routes, ipsets, mounts } = snapshotHost(join(directory, 'nothing'))
  const none = { netns: [], processes: [], state: [] }
  const own = mounts.filter((line) => line.includes(directory) || line.includes('docker'))
  const cgroups = globSync(`/sys/fs/cgroup/{,*/}everyhop-docker-${statSync(directory).ino}`)
  return { ...none, links, rules, policyRules, routes, ipsets, mounts: own, cgroups }
}

test('our own Docker daemon leaves the host as it is, runs privileged containers, and ends whole, also when it is killed', async () => {
  const before = host()
  // Both get the one that was first.
  const [docker, same] = await Promise.all([startDaemon(directory), startDaemon(directory)])
  expect(same.place).toEqual(docker.place)
  expect(docker.place.networkOf).toBe(daemonPid(directory))
  await runsPrivileged(docker)
  expect(compareHosts(before, host()).filter((d) => d.kind !== 'cgroups')).toEqual([])

  writeFileSync(join(directory, 'exit'), exitProgram(), { mode: 0o755 })
  await execa('tar', ['-C', directory, '-cf', join(directory, 'image.tar'), 'exit'])
  await docker.run(['import', join(directory, 'image.tar'), 'probe'])
  await docker.run(['network', 'create', 'probe'])
  await docker.run(['create', '--name', 'left', '--network', 'probe', '--volume', '/data', 'probe', '/exit'])
  const layers = () => readdirSync(join(directory, 'data/overlay2')).length
  const withContainer = layers()

  expect(await containersInDaemon(directory)).toEqual(['left'])
  // Where it is not seen it is left alone: from another process namespace.
  const url = new URL('daemon.ts', import.meta.url).href
  const program = `const d = await import('${url}'); console.log(d.daemonPid('${directory}'), await d.stopDaemon('${directory}'))`
  const node = [process.execPath, '--v8-pool-size=0', '--input-type=module', '-e', program]
  const { stdout } = await execa('unshare', ['--pid', '--fork', '--mount-proc', ...node])
  expect(stdout).toBe('undefined false')
  expect(await containersInDaemon(directory)).toEqual(['left'])

  process.kill(docker.place.networkOf!, 'SIGKILL')
  await expect.poll(() => daemonPid(directory), { timeout: 10_000 }).toBeUndefined()
  const again = await startDaemon(directory)
  expect(await again.lines(['ps', '--all', '--quiet'])).toEqual([])
  expect(await again.lines(['volume', 'ls', '--quiet'])).toEqual([])
  expect((await again.lines(['network', 'ls', '--format', '{{.Name}}'])).sort()).toEqual(['bridge', 'host', 'none'])
  expect(await again.lines(['images', '--format', '{{.Repository}}'])).toEqual(['probe'])
  // The container's own layer, and the one that docker puts below it.
  expect(layers()).toBe(withContainer - 2)

  expect(await stopDaemon(directory)).toBe(true)
  expect(await stopDaemon(directory)).toBe(false)
  expect(compareHosts(before, host())).toEqual([])
  expect(existsSync(join(directory, 'docker.sock'))).toBe(false)
  expect(readFileSync('/proc/locks', 'utf8')).not.toMatch(new RegExp(`:${statSync(join(directory, 'lock')).ino} `))
})

test('what keeps it from starting is told, with the place of its log', async () => {
  // Docker finds a file where it wants a directory.
  rmSync(join(directory, 'data'), { recursive: true })
  writeFileSync(join(directory, 'data'), '')
  await expect(startDaemon(directory)).rejects.toThrow(/our Docker daemon ended at once:\n.*data.*\n {2}fix: see .*daemon\.log$/s)
  expect(daemonPid(directory)).toBeUndefined()
})
