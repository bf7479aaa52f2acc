import { kindProgram } from '../clusters/kind/cli.ts'
import { daemonPid, stopIdleDaemon } from '../clusters/kind/docker/daemon.ts'
import { findDocker } from '../clusters/kind/docker/find-docker.ts'
import { ensureNodeImage } from '../clusters/kind/node-image.ts'

/** Before the tests of `npm run test:kind`: what takes minutes the first time, with a line for each part. A Docker daemon that was not there before ends with them, if nobody else has come to use it. */
export default async function setUp(): Promise<() => Promise<void>> {
  const started = performance.now()
  const tell = (line: string) => console.log(`test: ${line} (after ${((performance.now() - started) / 1000).toFixed(0)} s)`)
  const ran = daemonPid() !== undefined
  const docker = await findDocker(tell)
  await Promise.all([kindProgram(tell), ensureNodeImage(docker, undefined, tell)])
  tell('Docker, kind and node image are there')
  return async () => {
    if (!ran) await stopIdleDaemon()
  }
}
