import { constants, copyFileSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { execa } from 'execa'
import { digestOfFolders } from '../digest.ts'
import { pinnedNode, repository } from '../lab/node/root.ts'
import type { Docker } from './docker/docker.ts'

/** On a node: the pinned Node, what bundles import by name, and the bundles. */
const onNode = '/opt/everyhop'
export const nodeOnNode = `${onNode}/node`

/** Folders that a program of the harness can be made of. */
const sources = ['harness', 'clusters', 'images/lib']

/** Where a program lies on nodes; another path when its source is another. @param program path from the repository's root */
export function programOnNode(program: string): string {
  return `${onNode}/programs/${program.replaceAll('/', '-').replace(/\.ts$/, '')}-${digestOfFolders(repository, sources).slice(0, 16)}.mjs`
}

/** Puts the pinned Node on nodes, with what bundles need. 120 MB; once for each node. */
export async function bringNode(docker: Docker, containers: readonly string[]): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'everyhop-node-'))
  try {
    // Only then: the bundler takes a while to load.
    const { copyNativeModules } = await import('../bundle.ts')
    copyNativeModules(directory)
    const inputFile = join(directory, 'node.tar')
    // A copy: tar gives up on a file whose number of links changes meanwhile.
    copyFileSync(pinnedNode, join(directory, 'node'), constants.COPYFILE_FICLONE)
    await execa('tar', ['--owner=0', '--group=0', '-cf', inputFile, '-C', directory, 'node_modules', 'node'])
    const unpack = ['sh', '-ec', `mkdir -p ${onNode}/programs; tar -x -C ${onNode}`]
    await Promise.all(containers.map((container) => docker.run(['exec', '--interactive', container, ...unpack], { inputFile })))
  } finally {
    rmSync(directory, { recursive: true })
  }
}

/** Puts a bundled program on a node, at `path` of `programOnNode`, unless it is there. */
export async function bringProgram(docker: Docker, container: string, program: string, path: string): Promise<void> {
  const there = await docker.run(['exec', container, 'sh', '-c', `test -e "$0" && echo yes || echo no`, path])
  if (there === 'yes') return
  const directory = mkdtempSync(join(tmpdir(), 'everyhop-program-'))
  try {
    const { bundle } = await import('../bundle.ts')
    await bundle({ 'program.mjs': program }, directory)
    // So that whoever starts it meanwhile never sees half of it.
    const script = `cat >"$0.$$"; mv "$0.$$" "$0"`
    const inputFile = join(directory, 'program.mjs')
    await docker.run(['exec', '--interactive', container, 'sh', '-ec', script, path], { inputFile })
  } finally {
    rmSync(directory, { recursive: true })
  }
}
