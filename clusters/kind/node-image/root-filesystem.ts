import {
  appendFileSync,
  chmodSync,
  cpSync,
  globSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { execa } from 'execa'
import { goProgram } from '../go.ts'
import { type Built, built, digestOf } from './step.ts'
import { versions } from './versions.ts'

/** What kind's own base image installs and our collectors and mesh need on a node; containerd and runc are Debian's. */
const packages = [
  ...['systemd', 'systemd-sysv', 'dbus', 'kmod', 'mount', 'util-linux', 'procps', 'bash', 'ca-certificates', 'curl', 'jq', 'pigz'],
  ...['containerd', 'runc', 'libseccomp2', 'containernetworking-plugins'],
  ...['conntrack', 'iptables', 'nftables', 'ipset', 'iproute2', 'ethtool'],
]

/** Plugins of containernetworking-plugins that a topology uses: each is several megabytes. */
const cniPlugins = ['ptp', 'bridge', 'host-local', 'loopback', 'portmap']

/** Nobody reads them on a node. */
const leftOut = ['doc', 'man', 'info', 'locale', 'lintian', 'bug'].map((name) => `/usr/share/${name}/*`)

/** A Debian root file system that boots as a node of kind, without Kubernetes and its images: `root` in the result. Needs root and mmdebstrap. */
export async function rootFilesystem(): Promise<Built> {
  const kind = await kindFiles()
  return built({
    name: 'root-filesystem',
    inputs: { debian: versions.debian, packages, cniPlugins, leftOut, kind: digestOf(kind), script: digestOf(import.meta.filename) },
    make: async (directory) => {
      const root = join(directory, 'root')
      await execa('mmdebstrap', [
        '--mode=root',
        '--variant=minbase',
        '--quiet',
        `--include=${packages.join(',')}`,
        ...leftOut.map((path) => `--dpkgopt=path-exclude=${path}`),
        '--aptopt=APT::Install-Recommends "false"',
        versions.debian,
        root,
      ])
      installKindFiles(kind, root)
      configureUnits(root)
      await execa('chroot', [root, 'systemctl', 'enable', 'kubelet.service', 'containerd.service', 'undo-mount-hacks.service'])
      await execa('chroot', [root, 'systemctl', 'mask', 'systemd-binfmt.service'])
      await configureContainerd(root)
    },
  })
}

/** The folder of kind's own module with the files of its base image. */
async function kindFiles(): Promise<string> {
  const { stdout } = await execa(await goProgram(), ['mod', 'download', '-json', `sigs.k8s.io/kind@${versions.kind}`], { cwd: '/' })
  return join((JSON.parse(stdout) as { Dir: string }).Dir, 'images/base/files')
}

/** As kind's Dockerfile copies them; a Go module keeps no executable bits. */
function installKindFiles(from: string, root: string): void {
  cpSync(from, root, { recursive: true })
  for (const folder of [
    from,
    ...readdirSync(from, { recursive: true, withFileTypes: true })
      .filter((e) => e.isDirectory())
      .map((e) => join(e.parentPath, e.name)),
  ])
    chmodSync(join(root, folder.slice(from.length)), 0o755)
  const programs = globSync(['usr/local/bin/*', 'kind/bin/*'], { cwd: from })
  for (const file of readdirSync(from, { recursive: true, withFileTypes: true }).filter((e) => e.isFile())) {
    const name = join(file.parentPath, file.name).slice(from.length + 1)
    chmodSync(join(root, name), programs.includes(name) ? 0o755 : 0o644)
  }
  mkdirSync(join(root, 'etc/kubernetes/manifests'), { recursive: true })
}

/** Units that a container has no use for, as kind's Dockerfile removes them. */
function configureUnits(root: string): void {
  const unwanted = [
    'usr/lib/systemd/system/sysinit.target.wants/systemd-tmpfiles-setup.service',
    'usr/lib/systemd/system/multi-user.target.wants/*',
    'etc/systemd/system/*.wants/*',
    'usr/lib/systemd/system/local-fs.target.wants/*',
    'usr/lib/systemd/system/sockets.target.wants/*udev*',
    'usr/lib/systemd/system/sockets.target.wants/*initctl*',
    'usr/lib/systemd/system/basic.target.wants/*',
  ]
  for (const path of globSync(unwanted, { cwd: root })) rmSync(join(root, path))
  appendFileSync(join(root, 'etc/systemd/journald.conf'), 'ReadKMsg=no\n')
}

async function configureContainerd(root: string): Promise<void> {
  // kind's unit starts the one in /usr/local/bin.
  for (const name of ['containerd', 'ctr']) symlinkSync(`/usr/bin/${name}`, join(root, 'usr/local/bin', name))
  const file = join(root, 'etc/containerd/config.toml')
  const before = readFileSync(file, 'utf8')
  // Without CAP_SYS_RESOURCE no process may lower its score; and Debian's containerd looks for plugins where DaemonSets do not put theirs.
  const config = `${before.replace('restrict_oom_score_adj = false', 'restrict_oom_score_adj = true')}
[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "/opt/cni/bin"
`
  if (!config.includes('restrict_oom_score_adj = true'))
    throw new Error(`${file}: kind's containerd configuration has no restrict_oom_score_adj to set`)
  writeFileSync(file, config)
  const { stdout } = await execa('chroot', [root, 'ctr', 'oci', 'spec'])
  const spec = JSON.parse(stdout) as { process: { rlimits?: unknown }; hooks?: { createContainer?: object[] } }
  delete spec.process.rlimits
  spec.hooks = { ...spec.hooks, createContainer: [...(spec.hooks?.createContainer ?? []), { path: '/kind/bin/mount-product-files.sh' }] }
  writeFileSync(join(root, 'etc/containerd/cri-base.json'), JSON.stringify(spec))
  mkdirSync(join(root, 'opt/cni/bin'), { recursive: true })
  for (const name of cniPlugins) cpSync(join(root, 'usr/lib/cni', name), join(root, 'opt/cni/bin', name))
  rmSync(join(root, 'usr/lib/cni'), { recursive: true })
}
