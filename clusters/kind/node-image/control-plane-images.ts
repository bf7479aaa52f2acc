import { copyFileSync, mkdirSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { execa } from 'execa'
import { ImageArchive } from './image-archive.ts'
import type { Program } from './programs.ts'
import { type Built, built, digestOf } from './step.ts'
import { tags, versions } from './versions.ts'

/** Programs that the one binary of Kubernetes is, in pods. */
const inPods = ['kube-apiserver', 'kube-controller-manager', 'kube-scheduler'] as const
const iptables = ['iptables', 'iptables-save', 'iptables-restore', 'ip6tables', 'ip6tables-save', 'ip6tables-restore']

/** What kube-proxy calls: with its libraries, and nothing else of Debian. `root` in the result. Needs root and mmdebstrap. */
export async function proxyTools(): Promise<Built> {
  const packages = ['iptables', 'nftables', 'ipset', 'conntrack', 'kmod']
  return built({
    name: 'proxy-tools',
    inputs: { debian: versions.debian, packages, script: digestOf(import.meta.filename) },
    make: async (directory) => {
      const root = join(directory, 'root')
      for (const name of ['bin', 'sbin', 'lib', 'lib64']) {
        mkdirSync(join(root, 'usr', name), { recursive: true })
        symlinkSync(`usr/${name}`, join(root, name))
      }
      const extract = ['--mode=root', '--variant=extract', '--quiet', `--include=${packages.join(',')}`]
      await execa('mmdebstrap', [...extract, '--skip=check/empty', '--aptopt=APT::Install-Recommends "false"', versions.debian, root])
      for (const name of ['usr/share', 'var/cache', 'var/lib/apt', 'var/lib/dpkg']) await execa('rm', ['-rf', join(root, name)])
      // Debian's own links are made when a package is configured, which needs a shell.
      for (const name of iptables) symlinkSync('xtables-nft-multi', join(root, 'usr/sbin', name))
    },
  })
}

/** The images that kubeadm starts, for containerd: `images.tar` in the result. */
export async function controlPlaneImages(programs: Readonly<Record<Program, Built>>, tools: Built): Promise<Built> {
  return built({
    name: 'control-plane-images',
    inputs: { programs: Object.values(programs).map((p) => p.key), tools: tools.key, tags, script: digestOf(import.meta.dirname) },
    make: async (directory) => {
      const archive = new ImageArchive(join(directory, 'layout'))
      const layerOf = (name: Program, links: readonly string[]) => {
        const tree = join(directory, name)
        mkdirSync(join(tree, 'usr/local/bin'), { recursive: true })
        copyFileSync(join(programs[name].directory, name), join(tree, 'usr/local/bin', name))
        for (const link of links) symlinkSync(name, join(tree, 'usr/local/bin', link))
        return archive.layer(tree)
      }
      const label = { Labels: { 'org.opencontainers.image.version': versions.kubernetes } }
      const kubernetes = await layerOf('kubernetes', [...inPods, 'kube-proxy'])
      for (const name of inPods) await archive.image({ names: [tags.kubernetes(name)], layers: [kubernetes], config: label })
      const proxyLayers = [await archive.layer(join(tools.directory, 'root')), kubernetes]
      await archive.image({ names: [tags.kubernetes('kube-proxy')], layers: proxyLayers, config: label })
      for (const [name, names] of [
        ['etcd', [tags.etcd]],
        ['coredns', [tags.coredns]],
        ['pause', [tags.pause, tags.sandbox]],
      ] as const)
        await archive.image({ names, layers: [await layerOf(name, [])], config: { Entrypoint: [`/usr/local/bin/${name}`] } })
      await archive.write(join(directory, 'images.tar'))
      for (const name of Object.keys(programs)) await execa('rm', ['-r', join(directory, name)])
    },
  })
}
