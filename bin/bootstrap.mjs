#!/usr/bin/env node
// Starts any command of the project: sets up what is missing, then hands over to the pinned Node. For any Node >= 18.
import { spawn, spawnSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { constants } from 'node:os'
import { delimiter, join } from 'node:path'
import { isatty } from 'node:tty'
import { aptCommand, compileCache, dependenciesReady, fail, has, missingPackages, pinnedNode, root, searchPath } from './setup.mjs'

/**
 * Without threads for V8's background work: a process that ends joins them, and glibc before 2.41 can lose the wake-up that they wait for
 * (sourceware bug 25847); then it never ends.
 */
const nodeFlags = ['--disable-warning=ExperimentalWarning', '--v8-pool-size=0']

/** Verbs that are no part of the product's command. */
const scripts = {
  test: ['scripts/test.ts'],
  'test:kind': ['scripts/test.ts', '--kind'],
  check: ['scripts/check.ts'],
  fix: ['scripts/check.ts', '--fix'],
  prove: ['scripts/prove.ts'],
  bench: ['scripts/bench.ts'],
}
/** Verbs that need no system packages: they read files, tell what is missing, or only remove. */
const bare = new Set(['judge', 'explain', 'diff', 'down', 'doctor', 'clean', 'check', 'fix', 'help', '--help', '-h', '--version', '-V'])

/** Which system packages the command needs. */
function needOf(verb, args) {
  if (bare.has(verb) || args.some((x) => ['--help', '-h', '--list'].includes(x))) return 'none'
  // Where it is only tried, the test itself installs what clusters of kind need.
  if (verb === 'test:kind') return args[0] === '--where-possible' ? 'test' : 'kind'
  return verb === 'test' || verb === 'bench' ? verb : 'run'
}

function setUp(need) {
  const missing = missingPackages(need)
  if (missing.length > 0 && (process.getuid?.() !== 0 || !has('apt-get')))
    fail(`system packages are missing: ${missing.join(', ')}`, `sudo sh -c '${aptCommand(missing)}'`)
  if (missing.length === 0 && dependenciesReady()) return
  const install = [process.execPath, join(root, 'bin', 'setup.mjs'), need]
  const lock = join(root, '.everyhop', 'setup.lock')
  try {
    mkdirSync(join(root, '.everyhop'), { recursive: true })
  } catch (error) {
    fail(`cannot set up: ${error.message}`, `start it once as a user who may write to ${root}`)
  }
  const busy = 75
  // Without flock (a machine without util-linux) there is no lock: setup.mjs installs it.
  const tries = has('flock')
    ? [
        ['flock', '--nonblock', '--conflict-exit-code', busy, '--close', lock],
        ['flock', '--close', lock],
      ]
    : [[]]
  for (const prefix of tries) {
    const [command, ...args] = [...prefix, ...install].map(String)
    const { status, signal, error } = spawnSync(command, args, { stdio: ['ignore', 2, 2] })
    if (error) fail(`cannot set up: ${command}: ${error.message}`)
    if (status === 0) return
    if (status !== busy || prefix === tries.at(-1)) process.exit(signal ? 128 + constants.signals[signal] : status)
    process.stderr.write('everyhop: another start is setting up; waiting for it\n')
  }
}

/** Runs the command on the pinned Node; this process passes signals on and ends as the child does. */
function handOver(entry, args) {
  // Before the child is there: it may be ready for Ctrl-C sooner than this process gets to its next line.
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT']
  for (const signal of signals) {
    process.on(signal, () => {
      // Ctrl-C and Ctrl-\ reach the child from the terminal itself; passed on they would count twice.
      const fromTerminal = (signal === 'SIGINT' || signal === 'SIGQUIT') && [0, 1, 2].some((fd) => isatty(fd))
      if (!fromTerminal) child.kill(signal)
    })
  }
  const child = spawn(pinnedNode, [...nodeFlags, join(root, entry), ...args], {
    stdio: 'inherit',
    env: {
      ...process.env,
      PATH: searchPath.join(delimiter),
      NODE_COMPILE_CACHE: compileCache,
      EVERYHOP_STARTED: String(performance.timeOrigin),
    },
  })
  child.on('error', (error) => fail(`cannot start ${pinnedNode}: ${error.message}`))
  child.on('exit', (code, signal) => {
    if (signal === null) process.exit(code)
    for (const name of signals) process.removeAllListeners(name)
    process.kill(process.pid, signal)
    // A signal that does not end this process (it is ignored): say it by number.
    setTimeout(() => process.exit(128 + constants.signals[signal]), 100)
  })
}

if (Number.parseInt(process.versions.node, 10) < 18)
  fail(`needs Node 18 or newer, this is ${process.version}`, 'apt-get install -y nodejs npm')
if (process.platform !== 'linux' || process.arch !== 'x64') fail(`needs Linux on x86-64, this is ${process.platform} on ${process.arch}`)
// Alone it says what it can do: nobody starts a run of minutes by mistake.
const [verb = 'help', ...args] = process.argv.slice(2)
setUp(needOf(verb, args))
const [entry, ...before] = Object.hasOwn(scripts, verb) ? scripts[verb] : ['harness/cli/main.ts', verb]
handOver(entry, [...before, ...args])
