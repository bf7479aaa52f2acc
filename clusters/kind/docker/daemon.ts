import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, existsSync, mkdirSync, openSync, readdirSync, readFileSync, rmdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { execa } from 'execa'
import { cacheDirectory } from '../node-image/step.ts'
import { Docker } from './docker.ts'
import { runcWithoutSysResource } from './runc-wrapper.ts'

/** How long the daemon may take until it answers, and to end by itself; milliseconds. */
const startMs = 60_000
const endMs = 20_000
/** Between two looks, milliseconds. */
const lookMs = 50

/** Exit code of flock when somebody else has the lock. */
const conflict = 75

const bridge = { name: 'docker0', address: '172.17.0.1/16' }

/** Where it keeps its images between runs, and its socket. */
export const daemonDirectory = (): string => join(cacheDirectory(), 'docker')

/** Below each cgroup hierarchy: all its containers; one for each directory, so that two daemons keep apart. */
const cgroupOf = (directory: string) => `everyhop-docker-${statSync(directory).ino}`

const socketOf = (directory: string) => join(directory, 'docker.sock')

/** For `DOCKER_HOST`. */
export const hostOf = (directory: string): string => `unix://${socketOf(directory)}`

/**
 * Containers and networks ended with the daemon before this one: removes what they wrote (their layers, which docker knows by `mounts`, and volumes). Images stay.
 */
const forget = `cd "$0"
for m in data/image/overlay2/layerdb/mounts/*/*-id; do
  [ ! -e "$m" ] || rm -rf "data/overlay2/$(cat "$m")"
done
rm -rf exec docker.sock docker.pid data/network data/containers data/volumes data/image/overlay2/layerdb/mounts`

const script = `${forget}
ip link set lo up
ip link add ${bridge.name} type bridge
ip address add ${bridge.address} dev ${bridge.name}
ip link set ${bridge.name} up
exec dockerd --config-file "$0/daemon.json"`

/** Under the lock that the daemon holds while it runs, and all that it starts. */
const locked = (directory: string) => ['--nonblock', '--no-fork', '--conflict-exit-code', String(conflict), join(directory, 'lock')]

/**
 * Our own Docker daemon, started if it is not there: in network, mount and process namespaces of its own, so that the host's network and mounts are not touched
 * and whatever a container leaves ends with the daemon's first process, also when that is killed. It stays until `stopDaemon`. Needs root, dockerd and docker.
 * @throws Error with the daemon's last words
 */
export async function startDaemon(directory = daemonDirectory()): Promise<Docker> {
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  const deadline = performance.now() + startMs
  for (;;) {
    const running = daemonPid(directory)
    if (running !== undefined) return answering(directory, deadline)
    // Cgroups of containers that died with a daemon before this one.
    await removeContainerFiles(directory)
    writeFileSync(join(directory, 'daemon.json'), JSON.stringify(configuration(directory), undefined, 2))
    const starter = await start(directory)
    const ended = once(starter, 'exit') as Promise<[number | null]>
    const found = await Promise.race([answering(directory, deadline), ended.then(([code]) => code)])
    if (found instanceof Docker) {
      starter.unref()
      return found
    }
    // Another start was first, or what a daemon before this one had started is still ending: both hold the lock.
    if (found !== conflict) throw new Error(lastWords(directory, 'ended at once'))
    await sleep(lookMs)
  }
}

async function start(directory: string): Promise<ChildProcess> {
  const log = openSync(join(directory, 'daemon.log'), 'a')
  const namespaces = ['--net', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc']
  const child = spawn('flock', [...locked(directory), 'unshare', ...namespaces, 'sh', '-ec', script, directory], {
    detached: true,
    stdio: ['ignore', log, log],
    // Nobody's mark: it outlives who started it.
    env: { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', HOME: '/root' },
  })
  closeSync(log)
  await once(child, 'spawn')
  return child
}

function configuration(directory: string): object {
  const wrapper = runcWithoutSysResource(directory)
  return {
    hosts: [hostOf(directory)],
    'data-root': join(directory, 'data'),
    'exec-root': join(directory, 'exec'),
    pidfile: join(directory, 'docker.pid'),
    bridge: bridge.name,
    'cgroup-parent': `/${cgroupOf(directory)}`,
    ...(wrapper ? { runtimes: { everyhop: { path: wrapper } }, 'default-runtime': 'everyhop' } : {}),
  }
}

/** The daemon's first process, as this host counts: the one that holds the lock. @returns undefined when none runs */
export function daemonPid(directory = daemonDirectory()): number | undefined {
  const lock = statSync(join(directory, 'lock'), { throwIfNoEntry: false })
  if (!lock) return undefined
  // proc_locks(5): `1: FLOCK ADVISORY WRITE PID MAJOR:MINOR:INODE 0 EOF`; the device is not always stat's (overlay, btrfs), so the command tells too.
  return readFileSync('/proc/locks', 'utf8')
    .split('\n')
    .map((line) => line.split(/\s+/))
    .filter((f) => f[1] === 'FLOCK' && f[5]?.endsWith(`:${lock.ino}`))
    .map((f) => Number(f[4]))
    .find((pid) => commandLine(pid).includes(directory))
}

/** Until the daemon's socket answers. @throws Error with its last words, when it does not in time */
async function answering(directory: string, deadline: number): Promise<Docker> {
  for (;;) {
    const pid = daemonPid(directory)
    if (pid !== undefined && existsSync(socketOf(directory))) {
      const docker = new Docker({ host: hostOf(directory), networkOf: pid })
      const answer = await docker.run(['version', '--format', '{{.Server.Version}}']).catch(() => undefined)
      if (answer !== undefined) return docker
    }
    if (performance.now() > deadline) throw new Error(lastWords(directory, `does not answer after ${startMs / 1000} s`))
    await sleep(lookMs)
  }
}

function lastWords(directory: string, what: string): string {
  const log = join(directory, 'daemon.log')
  const words = readFileSync(log, 'utf8').trim().split('\n').slice(-5).join('\n')
  return `our Docker daemon ${what}:\n${words}\n  fix: see ${log}`
}

/** Ends our Docker daemon with all containers; its images stay. @returns whether one ran */
export async function stopDaemon(directory = daemonDirectory()): Promise<boolean> {
  const pid = daemonPid(directory)
  if (pid !== undefined) {
    // Process 1 of its namespaces is dockerd; its parent keeps signals for itself.
    const dockerd = Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim())
    if (dockerd > 0) process.kill(dockerd, 'SIGTERM')
    const deadline = performance.now() + endMs
    while (daemonPid(directory) !== undefined) {
      if (performance.now() > deadline) process.kill(pid, 'SIGKILL')
      await sleep(20)
    }
  }
  await removeContainerFiles(directory)
  return pid !== undefined
}

/** The same, unless it has containers: somebody else's, to whoever ended theirs. */
export async function stopIdleDaemon(directory = daemonDirectory()): Promise<void> {
  if ((await containersInDaemon(directory)).length === 0) await stopDaemon(directory)
}

/** Removes what containers have left in the files of a daemon that does not run. @returns false, with nothing done, when it does run */
export async function removeContainerFiles(directory = daemonDirectory()): Promise<boolean> {
  if (!existsSync(directory)) return true
  // The lock tells for sure: a daemon of another process namespace is not seen. And another start may come meanwhile: that one does the same first.
  const { exitCode } = await execa('flock', [...locked(directory), 'sh', '-ec', forget, directory], { reject: false })
  if (exitCode === 0) removeCgroups(directory)
  return exitCode === 0
}

/** Names of the containers in our Docker daemon, if it runs. */
export async function containersInDaemon(directory = daemonDirectory()): Promise<string[]> {
  if (daemonPid(directory) === undefined) return []
  return new Docker({ host: hostOf(directory) }).lines(['ps', '--all', '--format', '{{.Names}}'])
}

/** Removes the daemon's files too: everything that it has stored. */
export async function removeDaemon(directory = daemonDirectory()): Promise<void> {
  await stopDaemon(directory)
  rmSync(directory, { recursive: true, force: true })
}

/** Containers' empty cgroups, in every hierarchy. */
function removeCgroups(directory: string): void {
  const roots = ['/sys/fs/cgroup', ...readdirSync('/sys/fs/cgroup').map((name) => join('/sys/fs/cgroup', name))]
  for (const root of roots) removeTree(join(root, cgroupOf(directory)))
}

function removeTree(path: string): void {
  if (!existsSync(path)) return
  for (const entry of readdirSync(path, { withFileTypes: true })) if (entry.isDirectory()) removeTree(join(path, entry.name))
  rmdirSync(path)
}

function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1').replaceAll('\0', ' ')
  } catch {
    return ''
  }
}
