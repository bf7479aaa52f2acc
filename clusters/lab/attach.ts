import { spawn } from 'node:child_process'
import { join } from 'node:path'
import type { ClusterNode, LabHandle, SpawnOptions } from '../cluster.ts'
import { ownedEnvironment } from './node/owned.ts'
import { pathInRoot } from './node/path-in-root.ts'
import { nodeFlags, pinnedNode, repository } from './node/root.ts'

/** A node of a lab that stands, entered by the pid of its process 1. */
export function attachNode({ name, address, initPid }: LabHandle['nodes'][number], owner: string): ClusterNode {
  const start = (argv: readonly string[], { netns, env }: SpawnOptions = {}) => {
    // The node's own view of the path: nsenter opens it before it enters the mount namespace.
    const network = netns === undefined ? '-n' : `--net=${pathInRoot(`/proc/${initPid}/root`, netns)}`
    return spawn('nsenter', ['-t', String(initPid), '-m', '-p', '-u', '-i', network, '--', ...argv], {
      env: { ...ownedEnvironment({ id: owner }), ...env },
      // Ctrl-C on the terminal is for the run, which ends its programs in order; they end with their standard input too.
      detached: true,
      stdio: ['pipe', 'pipe', 'pipe'],
    })
  }
  return {
    name,
    address,
    spawn: start,
    runProgram: (program, args) => start([pinnedNode, ...nodeFlags, join(repository, program), ...args]),
  }
}
