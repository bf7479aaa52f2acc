import { copyFileSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { execa } from 'execa'
import { goProgram } from '../go.ts'
import { controlPlaneImages, proxyTools } from './control-plane-images.ts'
import { ImageArchive } from './image-archive.ts'
import { type Program, program } from './programs.ts'
import { rootFilesystem } from './root-filesystem.ts'
import { type Built, built, digestOf } from './step.ts'
import { versions } from './versions.ts'

/** What the image is called in Docker. */
export const nodeImageName = `everyhop/node:${versions.kubernetes}`

/**
 * A node image for kind made without any image registry, from the Go module proxy and Debian's packages: the file `node.tar` for
 * `docker load`. Needs root and mmdebstrap. What was built from the same inputs before costs nothing.
 */
export async function nodeImage(onProgress: (line: string) => void): Promise<Built> {
  const told = async <T>(what: string, work: Promise<T>): Promise<T> => {
    const started = performance.now()
    const result = await work
    const seconds = (performance.now() - started) / 1000
    if (seconds >= 1) onProgress(`${what} (${seconds.toFixed(0)} s)`)
    return result
  }
  const names = ['pause', 'etcd', 'coredns', 'kubernetes'] as const
  // First, so that it tells what takes long.
  await goProgram(onProgress)
  // Downloads beside compilers: the compilers among themselves would only share the processors.
  const [root, tools, programs] = await Promise.all([
    told('root file system of Debian', rootFilesystem()),
    told('tools for kube-proxy', proxyTools()),
    (async () => {
      const made = {} as Record<Program, Built>
      for (const name of names) made[name] = await told(`compiled ${name}`, program(name))
      return made
    })(),
  ])
  const images = await told('images of the control plane', controlPlaneImages(programs, tools))
  return told('node image', assembled(root, programs.kubernetes, images))
}

function assembled(root: Built, kubernetes: Built, images: Built): Promise<Built> {
  return built({
    name: 'node',
    inputs: {
      root: root.key,
      kubernetes: kubernetes.key,
      images: images.key,
      version: versions.kubernetes,
      script: digestOf(import.meta.filename),
    },
    make: async (directory) => {
      const node = join(directory, 'root')
      await execa('cp', ['-a', '--reflink=auto', join(root.directory, 'root'), node])
      copyFileSync(join(kubernetes.directory, 'kubernetes'), join(node, 'usr/bin/kubernetes'))
      for (const name of ['kubeadm', 'kubelet', 'kubectl']) symlinkSync('kubernetes', join(node, 'usr/bin', name))
      writeFileSync(join(node, 'kind/version'), versions.kubernetes)
      mkdirSync(join(node, 'images'))
      copyFileSync(join(images.directory, 'images.tar'), join(node, 'images/images.tar'))
      await importImages(node, '/images/images.tar')
      rmSync(join(node, 'images'), { recursive: true })
      const archive = new ImageArchive(join(directory, 'layout'))
      const layers = [await archive.layer(node, { compressed: false })]
      rmSync(node, { recursive: true })
      // What kind asks of an image (its images/base/Dockerfile).
      const config = {
        Entrypoint: ['/usr/local/bin/entrypoint', '/sbin/init'],
        Env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', 'container=docker'],
        StopSignal: 'SIGRTMIN+3',
        Labels: { 'org.opencontainers.image.version': versions.kubernetes },
      }
      await archive.image({ names: [nodeImageName], layers, config })
      await archive.write(join(directory, 'node.tar'))
    },
  })
}

/**
 * Puts the images into the node's containerd before it ever boots: starts it in the node's root, in namespaces that end with it.
 * Only content is stored; each node unpacks what it starts.
 */
async function importImages(node: string, archive: string): Promise<void> {
  const script = `mount -t proc proc /proc && mount -t tmpfs tmpfs /run
containerd & until ctr version >/dev/null 2>&1; do kill -0 $! || exit 1; sleep 0.1; done
ctr -n k8s.io images import --no-unpack --all-platforms ${archive} && kill $! && wait $!`
  const { exitCode, all } = await execa('unshare', ['--mount', '--pid', '--fork', '--kill-child', 'chroot', node, 'sh', '-c', script], {
    all: true,
    reject: false,
  })
  if (exitCode !== 0) throw new Error(`containerd did not take the images of the control plane:\n${all.split('\n').slice(-10).join('\n')}`)
}
