import type { KindHandle } from '../cluster.ts'
import { Docker, type DockerPlace } from './docker/docker.ts'

/** Prints the pid of a process of pod $0 (its uid) on this node; of its first container that is not the sandbox, if there is one. */
const findScript = `sandbox=
for p in /proc/[0-9]*; do
  grep -qe "$0" -e "$(echo "$0" | tr - _)" $p/cgroup 2>/dev/null || continue
  grep -q '^NSpid:.*[[:space:]]1$' $p/status || continue
  if [ "$(cat $p/comm)" = pause ]; then sandbox=\${p#/proc/}; else echo \${p#/proc/}; exit 0; fi
done
echo $sandbox`

type Entered = Pick<KindHandle['nodes'][number], 'container'>

/** How to get into a node: what stands before a command's own words. */
export function enterKindNode({ container }: Entered, { host }: DockerPlace): string[] {
  const terminal = process.stdin.isTTY && process.stdout.isTTY ? ['--tty'] : []
  const environment = ['PS1', 'EVERYHOP_PLACE', 'TERM'].flatMap((name) => ['--env', name])
  const command = ['docker', 'exec', '--interactive', ...terminal, '--privileged', ...environment, container]
  return host ? ['env', `DOCKER_HOST=${host}`, ...command] : command
}

/** Becomes the command that follows, where /proc tells of the process namespace that it is in. */
const withOwnProc = ['unshare', '--mount', 'sh', '-c', 'mount -t proc proc /proc && exec "$@"', 'sh']

/**
 * How to get into the network and processes of a pod, with the files of its node: a pod's own files are those of its image, which has no tools.
 * @returns undefined when the pod has no process
 */
export async function enterKindPod(uid: string, node: Entered, place: DockerPlace): Promise<string[] | undefined> {
  const pid = await new Docker(place).run(['exec', '--privileged', node.container, 'sh', '-c', findScript, uid])
  return pid === '' ? undefined : [...enterKindNode(node, place), 'nsenter', '-t', pid, '-p', '-u', '-i', '-n', '--', ...withOwnProc]
}
