import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { execa } from 'execa'
import { daemonPid, stopIdleDaemon } from '../clusters/kind/docker/daemon.ts'
import { findDocker, runsPrivileged } from '../clusters/kind/docker/find-docker.ts'
import { goProgram } from '../clusters/kind/go.ts'
import { versions } from '../clusters/kind/node-image/versions.ts'
import { enoughRoom } from '../clusters/kind/room.ts'

/** Of the largest cluster that its tests make. */
const nodes = 3

/**
 * Whether this machine can make clusters of kind, once what can be installed is installed; a Docker daemon of ours that was not there before is ended.
 * @returns why not, in words; undefined when it can
 */
export async function whyNoKind(tell: (line: string) => void): Promise<string | undefined> {
  if (process.getuid?.() !== 0) return 'only root can build its node image'
  const setUp = [join(import.meta.dirname, '../bin/setup.mjs'), 'kind']
  if (spawnSync(process.execPath, ['--v8-pool-size=0', ...setUp], { stdio: ['ignore', 2, 2] }).status !== 0)
    return 'the packages that it needs cannot be installed'
  const ran = daemonPid() !== undefined
  const usable = async () => {
    const docker = await findDocker(tell)
    await runsPrivileged(docker)
    await enoughRoom(docker, nodes)
  }
  // One module stands for all: where it comes from, Kubernetes does.
  const module = ['mod', 'download', `sigs.k8s.io/kind@${versions.kind}`]
  const found = await Promise.allSettled([usable(), goProgram(tell).then((go) => execa(go, module, { cwd: '/' }))])
  if (!ran) await stopIdleDaemon()
  const reasons = found.flatMap((one) => (one.status === 'rejected' ? [(one.reason as Error).message] : []))
  return reasons.length > 0 ? reasons.join('; ') : undefined
}
