import { join } from 'node:path'
import { execa } from 'execa'
import { goProgram } from '../go.ts'
import { type Built, built, digestOf } from './step.ts'
import { versions } from './versions.ts'

const sources = join(import.meta.dirname, 'go')
export type Program = 'kubernetes' | 'etcd' | 'coredns' | 'pause'

/** kubeadm takes a binary without these for version 0.0.0. */
function kubernetesFlags(): string {
  const [major, minor] = versions.kubernetes.slice(1).split('.')
  const values = { gitVersion: versions.kubernetes, gitMajor: major, gitMinor: minor, gitTreeState: 'clean', gitCommit: 'unknown' }
  return Object.entries({ ...values, buildDate: '1970-01-01T00:00:00Z' })
    .map(([name, value]) => `-X k8s.io/component-base/version.${name}=${value}`)
    .join(' ')
}

/** A static program from the Go module proxy: the file `NAME` in the result. @throws execa's error with the compiler's last words */
export async function program(name: Program): Promise<Built> {
  const source = join(sources, name)
  const flags = ['-s', '-w', ...(name === 'kubernetes' ? [kubernetesFlags()] : [])].join(' ')
  const env = { CGO_ENABLED: '0', GOOS: 'linux', GOARCH: 'amd64', GOFLAGS: '-mod=readonly -trimpath -buildvcs=false' }
  const go = await goProgram()
  const { stdout: compiler } = await execa(go, ['env', 'GOVERSION'], { cwd: source })
  return built({
    name,
    inputs: { source: digestOf(source), flags, env, compiler },
    make: async (directory) => {
      await execa(go, ['build', '-ldflags', flags, '-o', join(directory, name), '.'], { cwd: source, env })
    },
  })
}
