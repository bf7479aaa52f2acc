import { arch, cpus, release, totalmem } from 'node:os'

/** What the run ran on, as far as it can matter to a verdict. */
export function environment(): Record<string, string> {
  return {
    kernel: release(),
    architecture: arch(),
    node: process.version,
    cpus: `${cpus().length}`,
    memoryGiB: `${Math.round(totalmem() / 2 ** 30)}`,
  }
}
