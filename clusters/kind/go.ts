import { chmodSync, globSync, renameSync, rmSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { execa } from 'execa'
import { searchPath } from './docker/docker.ts'
import { onPath } from './docker/find-docker.ts'
import { built, cacheDirectory } from './node-image/step.ts'
import { versions } from './node-image/versions.ts'

/** kind and Kubernetes need this (their go.mod). */
const oldest = [1, 24] as const

/** Where Go's own archive and Debian's packages of one version put it, which is not on PATH by itself. */
const usualPlaces = ['/usr/local/go/bin/go', '/usr/lib/go-*/bin/go']

/** Of the archive that the module proxy serves for Go's own use (`go help toolchain`). */
const archiveSha256 = 'e1edb778de0aa08c8e827f5a873b35a46afe680fb241482c531725b2355e470d'

const fix = 'fix: everyhop doctor --fix, or install Go 1.24 or newer'

let found: Promise<string> | undefined

/** Path of a Go that is new enough: this machine's, else one brought from the module proxy into the cache. @throws Error with the fix */
export function goProgram(onProgress: (line: string) => void = () => {}): Promise<string> {
  found ??= (async () => (await machinesGo()) ?? (await broughtGo(onProgress, join(cacheDirectory(), 'go'))))().catch((error) => {
    found = undefined
    throw error
  })
  return found
}

/** Path of the machine's own Go, on PATH or in its usual places. @returns undefined when there is none that is new enough */
export async function machinesGo(path = searchPath(), places: readonly string[] = usualPlaces): Promise<string | undefined> {
  const onIt = path.split(delimiter).flatMap((directory) => (directory === '' ? [] : globSync(join(directory, 'go'))))
  for (const program of [...onIt, ...globSync([...places])]) {
    const { stdout } = await execa(program, ['env', 'GOVERSION'], { cwd: '/', env: { GOTOOLCHAIN: 'local' }, reject: false })
    if (isNewEnough(`${stdout}`)) return program
  }
  return undefined
}

/** Of what `go env GOVERSION` says, such as `go1.24.3`. */
export function isNewEnough(version: string): boolean {
  const [major = 0, minor = 0] = (/^go(\d+)\.(\d+)/.exec(version)?.slice(1) ?? []).map(Number)
  return major > oldest[0] || (major === oldest[0] && minor >= oldest[1])
}

/**
 * Go from the module proxy, as the go command itself gets a newer one: where Kubernetes comes from, it comes from.
 * @param root keeps it
 * @throws Error with the fix, with nothing left in `root`
 */
export async function broughtGo(onProgress: (line: string) => void, root: string): Promise<string> {
  for (const tool of ['curl', 'unzip'])
    if (!onPath(tool)) throw new Error(`Go ${oldest.join('.')} or newer is not there, nor ${tool} to bring it; ${fix}`)
  const module = `golang.org/toolchain@v0.0.1-${versions.go}.linux-amd64`
  // GOPROXY is a list; of its entries only addresses serve files.
  const proxy = (process.env.GOPROXY ?? '').split(/[,|]/).find((entry) => /^https?:/.test(entry)) ?? 'https://proxy.golang.org'
  const address = `${proxy.replace(/\/$/, '')}/${module.replace('@', '/@v/')}.zip`
  const { directory } = await built(
    {
      name: 'go',
      inputs: { version: versions.go, archiveSha256 },
      make: async (target) => {
        onProgress(`bringing Go ${versions.go.slice(2)} from ${proxy}`)
        const archive = join(target, 'go.zip')
        await execa('curl', ['--fail', '--silent', '--show-error', '--location', '--retry', '3', '--output', archive, address])
        const { stdout } = await execa('sha256sum', [archive])
        if (!stdout.startsWith(`${archiveSha256} `))
          throw new Error(`it is not the archive that it should be (SHA-256 ${stdout.split(' ')[0]})`)
        await execa('unzip', ['-q', archive, '-d', target])
        rmSync(archive)
        renameSync(join(target, module), join(target, 'go'))
        // A module's archive keeps no executable bits.
        for (const program of globSync(['go/bin/*', 'go/pkg/tool/*/*'], { cwd: target })) chmodSync(join(target, program), 0o755)
      },
    },
    root,
  ).catch((error: Error) => {
    throw new Error(`Go ${oldest.join('.')} or newer is not there and cannot be brought from ${address}: ${error.message}; ${fix}`)
  })
  return join(directory, 'go/bin/go')
}
