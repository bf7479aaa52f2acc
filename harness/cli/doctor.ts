import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { findDocker } from '../../clusters/kind/docker/find-docker.ts'
import { dockerFindings } from './doctor/docker.ts'
import { exitCode, formatFindings, formatJson } from './doctor/finding.ts'
import { kernelFindings } from './doctor/kernel.ts'
import { machineFindings } from './doctor/machine.ts'
import { socketFindings } from './doctor/sockets.ts'

export interface DoctorOptions {
  /** One JSON document instead of lines. @default false */
  readonly json?: boolean
  /** Install what is missing, and start a Docker daemon of our own where none can be used. @default false */
  readonly fix?: boolean
  /** Where the answer goes. @default stdout */
  readonly write?: (text: string) => void
}

/**
 * Says what this machine lacks for a run, and the fix. Without `fix` it changes nothing: what a probe makes ends with the probe.
 * @returns the exit code: 0 nothing is missing, 3 something is
 */
export async function doctor(options: DoctorOptions = {}): Promise<number> {
  const { json = false, fix = false, write = (text: string) => process.stdout.write(text) } = options
  if (fix) await repair()
  const kernel = await Promise.all([kernelFindings(), socketFindings(), dockerFindings()])
  const findings = [...machineFindings(), ...kernel.flat()]
  write(json ? formatJson(findings) : formatFindings(findings))
  return exitCode(findings)
}

/** What it cannot do shows in the findings afterwards. */
async function repair(): Promise<void> {
  const tell = (line: string) => process.stderr.write(`everyhop: ${line}\n`)
  if (process.getuid?.() !== 0) return void tell('only root can install packages; fix: sudo everyhop doctor --fix')
  spawnSync(process.execPath, ['--v8-pool-size=0', join(import.meta.dirname, '../../bin/setup.mjs'), 'kind'], { stdio: ['ignore', 2, 2] })
  try {
    const { place } = await findDocker(tell)
    tell(`clusters of kind are made in the Docker at ${place.host ?? 'its usual place'}`)
  } catch (error) {
    tell((error as Error).message)
  }
}
