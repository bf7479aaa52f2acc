import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { arch, cpus, release, totalmem } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { digestOfFolders, sha256 } from '../../clusters/digest.ts'
import { appImages, meshImages } from '../../clusters/images.ts'
import type { Topology } from '../../clusters/topology.ts'

/** What a run ran on and with, as far as it can matter to a verdict. */
export type Environment = Readonly<Record<string, string | Readonly<Record<string, string>>>>

const root = join(import.meta.dirname, '../..')

/** The system's tools that make or read kernel state, each with the argument that has it tell its version. */
const tools: readonly (readonly [name: string, argument: string])[] = [
  ['ip', '-V'],
  ['iptables', '--version'],
  ['ipset', '--version'],
  ['nft', '--version'],
]

/** Host, tools, and digests of what was under test: the images' sources, the topology, and the values file, if there is one. */
export async function environment(topology: Topology, valuesFile?: string): Promise<Environment> {
  const versions = await Promise.all(tools.map(async ([name, argument]) => [name, await versionOf(name, argument)] as const))
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }
  return {
    everyhop: version,
    kernel: release(),
    architecture: arch(),
    node: process.version,
    cpus: `${cpus().length}`,
    memoryGiB: `${Math.round(totalmem() / 2 ** 30)}`,
    tools: Object.fromEntries(versions),
    images: Object.fromEntries(
      [...meshImages, ...appImages].map(({ name, source }) => [name, `sha256:${digestOfFolders(root, [source, 'images/lib'])}`]),
    ),
    topology: { name: topology.name, sha256: sha256(JSON.stringify(topology)) },
    ...(valuesFile === undefined ? {} : { values: { file: valuesFile, sha256: sha256(readFileSync(valuesFile)) } }),
  }
}

/** The first line that the tool says. */
async function versionOf(name: string, argument: string): Promise<string> {
  try {
    const { stdout, stderr } = await promisify(execFile)(name, [argument])
    return (stdout || stderr).trim().split('\n')[0] ?? ''
  } catch (error) {
    return `not known: ${(error as Error).message.split('\n')[0]}`
  }
}
