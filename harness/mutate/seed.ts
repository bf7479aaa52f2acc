import { once } from 'node:events'
import { cpSync, existsSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import type { AttachedCluster } from '../../clusters/attach.ts'
import type { TopologyRecord } from '../evidence/topology-record.ts'
import type { CommandSeed, Fault, PatchSeed } from '../modes/fault.ts'

const repository = resolve(import.meta.dirname, '../..')

/** A fault that could not be put in place, or not taken away again. */
export class SeedError extends Error {
  override name = 'SeedError'
}

/** Finds a pod's namespace on its node by a process of its cgroup (a kubelet's systemd driver writes the uid with underscores), and runs a command in it. */
const IN_POD = `uid=$1; shift
other=$(echo "$uid" | tr - _)
for p in /proc/[0-9]*; do
  if grep -qe "pod$uid" -e "pod$other" $p/cgroup 2>/dev/null; then exec nsenter --net=$p/ns/net -- "$@"; fi
done
echo "no process of pod $uid" >&2; exit 1`

/** Runs the commands of a seed, one way or the other, everywhere that it names. */
export async function runCommands(
  cluster: Pick<AttachedCluster, 'nodes'>,
  topology: TopologyRecord,
  seed: CommandSeed,
  way: 'do' | 'undo',
): Promise<void> {
  await Promise.all(
    cluster.nodes.map(async (node) => {
      const optedOut = seed.where === 'pods without DNS capture'
      const pods = topology.pods.filter(
        (p) => p.enrolled && p.node === node.name && (seed.where === 'nodes' || (p.dnsUncaptured === true) === optedOut),
      )
      for (const argv of seed[way]) {
        if (seed.where !== 'nodes') for (const pod of pods) await runOn(node, ['sh', '-c', IN_POD, 'sh', pod.uid, ...argv])
        else if (argv.some((word) => word.includes('$'))) {
          for (const pod of pods)
            await runOn(
              node,
              argv.map((word) => word.replace('$ip', pod.ip).replace('$uid', pod.uid)),
            )
        } else await runOn(node, argv)
      }
    }),
  )
}

async function runOn(node: AttachedCluster['nodes'][number], argv: readonly string[]): Promise<void> {
  const child = node.spawn(argv)
  let stderr = ''
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  child.stdin?.end()
  const [code] = (await once(child, 'close')) as [number | null]
  if (code !== 0)
    throw new SeedError(`node ${node.name}: ${argv.filter((w) => w !== IN_POD).join(' ')}: exit code ${code}: ${stderr.trim()}`)
}

/**
 * The files below `images/` that a fault changes or makes, with their text then.
 * @throws SeedError when a place to patch is not there exactly once: the fault must be written anew for this code
 */
export function patchedFiles(fault: Pick<Fault, 'id'> & { readonly seed: PatchSeed }): ReadonlyMap<string, string> {
  const files = new Map<string, string>()
  for (const { file, find, replace } of fault.seed.edits) {
    const original = join(repository, 'images', file)
    if (find === '') {
      if (existsSync(original)) throw new SeedError(`fault ${fault.id}: it makes images/${file}, which is there already`)
      files.set(file, replace)
      continue
    }
    const parts = (files.get(file) ?? readFileSync(original, 'utf8')).split(find)
    if (parts.length !== 2)
      throw new SeedError(`fault ${fault.id}: "${find}" is ${parts.length - 1} times in images/${file}, it must be there once`)
    files.set(file, parts.join(replace))
  }
  return files
}

/**
 * Makes a patched copy of all images' sources for one fault.
 * @param directory is made; the copy's `images/` is in it
 * @throws SeedError as `patchedFiles`
 */
export function patchedCopy(fault: Fault & { readonly seed: PatchSeed }, directory: string): void {
  const files = patchedFiles(fault)
  cpSync(join(repository, 'images'), join(directory, 'images'), { recursive: true })
  symlinkSync(join(repository, 'node_modules'), join(directory, 'node_modules'))
  for (const [file, text] of files) writeFileSync(join(directory, 'images', file), text)
}
