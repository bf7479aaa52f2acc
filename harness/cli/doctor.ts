import { exitCode, formatFindings, formatJson } from './doctor/finding.ts'
import { kernelFindings } from './doctor/kernel.ts'
import { machineFindings } from './doctor/machine.ts'
import { socketFindings } from './doctor/sockets.ts'

export interface DoctorOptions {
  /** One JSON document instead of lines. @default false */
  readonly json?: boolean
  /** Where the answer goes. @default stdout */
  readonly write?: (text: string) => void
}

/**
 * Says what this machine lacks for a run, and the fix; changes nothing: what a probe makes ends with the probe.
 * @returns the exit code: 0 nothing is missing, 3 something is
 */
export async function doctor(options: DoctorOptions = {}): Promise<number> {
  const { json = false, write = (text: string) => process.stdout.write(text) } = options
  const kernel = await Promise.all([kernelFindings(), socketFindings()])
  const findings = [...machineFindings(), ...kernel.flat()]
  write(json ? formatJson(findings) : formatFindings(findings))
  return exitCode(findings)
}
