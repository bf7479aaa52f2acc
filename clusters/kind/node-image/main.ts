import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import { nodeImage, nodeImageName } from './node-image.ts'

/** Fixes for what the build cannot do without. */
const needs = [
  { tool: 'go', fix: 'install Go 1.24 or newer and put it on PATH' },
  { tool: 'mmdebstrap', fix: 'apt-get install -y --no-install-recommends mmdebstrap' },
]

const found = (tool: string) =>
  (process.env.PATH ?? '').split(delimiter).some((directory) => {
    try {
      accessSync(join(directory, tool), constants.X_OK)
      return true
    } catch {
      return false
    }
  })

function fail(problem: string, fix: string): never {
  process.stderr.write(`node image: ${problem}\n  fix: ${fix}\n`)
  process.exit(3)
}

// Builds the node image for kind and says where it is: for machines that reach no image registry.
if (process.getuid?.() !== 0) fail('only root can unpack a root file system', 'start it as root')
for (const { tool, fix } of needs) if (!found(tool)) fail(`${tool} is not on PATH`, fix)
const { directory } = await nodeImage((line) => process.stderr.write(`node image: ${line}\n`))
process.stdout.write(`${join(directory, 'node.tar')}\n`)
process.stderr.write(`node image: docker load --input ${join(directory, 'node.tar')} brings ${nodeImageName}\n`)
