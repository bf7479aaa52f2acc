import { appImages, meshImages } from '../../images.ts'
import { buildImages } from './build-images.ts'

// Builds all images and says where they are: the archive on stdout, what is in it on stderr.
try {
  const { archive, images } = await buildImages([...meshImages, ...appImages], {
    onProgress: (line) => process.stderr.write(`images: ${line}\n`),
  })
  for (const { name, digest, size } of images) process.stderr.write(`images: ${name} ${digest} ${(size / 1e6).toFixed(1)} MB\n`)
  process.stdout.write(`${archive}\n`)
} catch (error) {
  process.stderr.write(`images: ${(error as Error).message}\n`)
  process.exitCode = 3
}
