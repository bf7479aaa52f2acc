import { join } from 'node:path'
import { appImages, meshImages } from '../../images.ts'
import { buildBases, buildImages, contextOf } from './build-images.ts'

// Builds all images and says where they are: the archive on stdout, what is in it on stderr.
// For `docker build` instead: `--bases` makes the archive of the images that Dockerfiles begin with, `--context NAME` the folder for images/NAME/Dockerfile.
const all = [...meshImages, ...appImages]
const [option, name] = process.argv.slice(2)
try {
  if (option === undefined) {
    const { archive, images } = await buildImages(all, { onProgress: (line) => process.stderr.write(`images: ${line}\n`) })
    for (const { name, digest, size } of images) process.stderr.write(`images: ${name} ${digest} ${(size / 1e6).toFixed(1)} MB\n`)
    process.stdout.write(`${archive}\n`)
  } else if (option === '--bases') process.stdout.write(`${await buildBases()}\n`)
  else {
    const image = all.find(({ source }) => source === `images/${name}`)
    if (option !== '--context' || !image)
      throw new Error(`usage: main.ts [--bases | --context ${all.map((i) => i.source.slice('images/'.length)).join('|')}]`)
    process.stdout.write(`${join((await contextOf(image)).directory, 'context')}\n`)
  }
} catch (error) {
  process.stderr.write(`images: ${(error as Error).message}\n`)
  process.exitCode = 3
}
