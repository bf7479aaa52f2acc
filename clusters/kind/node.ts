import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ClusterNode, KindHandle, SpawnOptions } from '../cluster.ts'
import { nodeFlags, pinnedNode } from '../lab/node/root.ts'
import { ownerVariable } from '../processes.ts'
import { Docker, type DockerPlace } from './docker/docker.ts'
import { nodeOnNode, programOnNode } from './programs.ts'

/** Names one spawned process in the environment that it starts with. */
const spawnVariable = 'EVERYHOP_SPAWN'

/** For how long a signal is tried to be given to a process that is only being started, milliseconds. */
const signalMs = 10_000

/** Sends signal $1 to the process that was spawned as $0: of those with its mark, the one whose parent is outside the container. Ends with 1 when there is none. */
const signalScript = `for e in $(grep -lszx "${spawnVariable}=$0" /proc/[0-9]*/environ); do
  p=\${e%/environ}
  [ "$(sed -n 's/^PPid:[[:space:]]*//p' $p/status)" = 0 ] && kill -"$1" "\${p#/proc/}" && exit 0
done
exit 1`

/** Brings program $4 to the node, then becomes the docker command that the rest says: what it was started as is the process on the node. */
const bringThenRun = `"$1" --v8-pool-size=0 --disable-warning=ExperimentalWarning "$2" "$3" "$4" "$5" >&2 </dev/null || exit 125
shift 5
exec docker "$@"`

/**
 * A node of a kind cluster that stands: a container, entered by `docker exec`, so it works wherever the Docker is.
 * Of a process there, exit codes pass; one that a signal ended has exit code 128 and the signal's number; `kill` sends the signal to the process on the node.
 * Its input ends when this process does.
 */
export function attachKindNode({ name, address, container }: KindHandle['nodes'][number], place: DockerPlace, owner: string): ClusterNode {
  const docker = new Docker(place)
  const start = (command: (execute: readonly string[]) => ChildProcess, options: SpawnOptions, argv: readonly string[]) => {
    const token = randomBytes(8).toString('hex')
    const variables = { [ownerVariable]: owner, [spawnVariable]: token, ...options.env }
    const inside = options.netns === undefined ? argv : ['nsenter', `--net=${options.netns}`, '--', ...argv]
    const set = Object.entries(variables).flatMap(([key, value]) => ['--env', `${key}=${value}`])
    return signalled(command(['exec', '--interactive', '--privileged', ...set, container, ...inside]), docker, container, token)
  }
  return {
    name,
    address,
    spawn: (argv, options = {}) => start((execute) => docker.spawn(execute, { [ownerVariable]: owner }), options, argv),
    runProgram(program, args) {
      const path = programOnNode(program)
      const bring = join(import.meta.dirname, 'bring-program.ts')
      const run = (execute: readonly string[]) =>
        spawn('sh', ['-c', bringThenRun, 'sh', pinnedNode, bring, container, program, path, ...execute], {
          env: { ...docker.environment, [ownerVariable]: owner },
          stdio: ['pipe', 'pipe', 'pipe'],
        })
      return start(run, {}, [nodeOnNode, ...nodeFlags, path, ...args])
    },
  }
}

/** Lets `kill` reach the process on the node; the docker command ends with it. */
function signalled(child: ChildProcess, docker: Docker, container: string, token: string): ChildProcess {
  const killCommand = child.kill.bind(child)
  const ended = () => child.exitCode !== null || child.signalCode !== null
  const deliver = async (signal: NodeJS.Signals | number) => {
    const name = String(signal).replace(/^SIG/, '')
    const send = () => docker.run(['exec', '--privileged', container, 'sh', '-c', signalScript, token, name])
    const deadline = performance.now() + signalMs
    while (!ended()) {
      const sent = await send().then(
        () => true,
        () => false,
      )
      if (sent || ended()) return
      // It is not there yet, or its container is not there any more.
      if (performance.now() > deadline) killCommand('SIGKILL')
      await sleep(20)
    }
  }
  child.kill = (signal = 'SIGTERM') => {
    if (ended()) return false
    void deliver(signal)
    return true
  }
  return child
}
