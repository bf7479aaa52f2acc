import type { Cluster } from '../../clusters/cluster.ts'

/**
 * Resident memory, MiB, of the one Node process on a cluster's first node whose command line holds `text`.
 * @throws Error if there is none or several
 */
export async function memoryOf(cluster: Cluster, text: string): Promise<number> {
  const script = `for p in /proc/[0-9]*; do case $(readlink $p/exe) in */node) tr '\\0' ' ' <$p/cmdline | grep -q -- "$0" && grep VmRSS $p/status;; esac; done 2>/dev/null; :`
  const child = cluster.nodes[0]!.spawn(['sh', '-c', script, text])
  let out = ''
  child.stdout?.on('data', (data) => {
    out += String(data)
  })
  await new Promise((resolve) => child.on('close', resolve))
  const found = [...out.matchAll(/VmRSS:\s+(\d+) kB/g)]
  if (found.length !== 1) throw new Error(`${found.length} processes on ${cluster.nodes[0]!.name} have ${text} in their command line`)
  return Number(found[0]![1]) / 1024
}
