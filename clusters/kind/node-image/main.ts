import { join } from 'node:path'
import { onPath } from '../docker/find-docker.ts'
import { nodeImage, nodeImageName } from './node-image.ts'

function fail(problem: string, fix: string): never {
  process.stderr.write(`node image: ${problem}\n  fix: ${fix}\n`)
  process.exit(3)
}

// Builds the node image for kind and says where it is: for machines that reach no image registry.
if (process.getuid?.() !== 0) fail('only root can unpack a root file system', 'start it as root')
if (!onPath('mmdebstrap')) fail('mmdebstrap is not on PATH', 'apt-get install -y --no-install-recommends mmdebstrap')
const { directory } = await nodeImage((line) => process.stderr.write(`node image: ${line}\n`))
process.stdout.write(`${join(directory, 'node.tar')}\n`)
process.stderr.write(`node image: docker load --input ${join(directory, 'node.tar')} brings ${nodeImageName}\n`)
