import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { startTime } from './processes.ts'
import { clean, listOwners, newOwnerId, Registry, stateDirectory } from './registry.ts'
import { mountPoints } from './removal.ts'

const cgroupRoot = existsSync('/sys/fs/cgroup/cgroup.procs') ? '/sys/fs/cgroup' : '/sys/fs/cgroup/unified'
let scratch: string
const children: ChildProcess[] = []

beforeEach(() => {
  scratch = mkdtempSync(join(tmpdir(), 'everyhop-registry-'))
  process.env.EVERYHOP_STATE_DIR = join(scratch, 'state')
})

afterEach(async () => {
  for (const child of children.splice(0)) child.kill('SIGKILL')
  await clean()
  delete process.env.EVERYHOP_STATE_DIR
  rmSync(scratch, { recursive: true, force: true })
})

/** A run in a process of its own, with one resource of each kind. `pids` are those of its processes: one in the cgroup and one with a child. */
async function startRun(id: string) {
  const directory = join(scratch, id)
  const mount = join(scratch, `${id}-mount`)
  const cgroup = join(cgroupRoot, `everyhop-test-${id}`)
  const script = `
    import { spawn, execFileSync } from 'node:child_process'
    import { mkdirSync, writeFileSync } from 'node:fs'
    import { Registry } from ${JSON.stringify(new URL('./registry.ts', import.meta.url).pathname)}
    const [id, directory, mount, cgroup] = process.argv.slice(1)
    const registry = Registry.open(id)
    registry.register({ kind: 'processes' })
    registry.register({ kind: 'directory', path: directory })
    mkdirSync(directory + '/sub', { recursive: true })
    registry.register({ kind: 'directory', path: mount })
    mkdirSync(mount)
    registry.register({ kind: 'mount', path: mount })
    execFileSync('mount', ['-t', 'tmpfs', 'none', mount])
    registry.register({ kind: 'cgroup', path: cgroup })
    mkdirSync(cgroup + '/inner', { recursive: true })
    const env = { ...process.env, EVERYHOP_OWNER: id }
    const one = spawn('sleep', ['1000'], { env: { PATH: process.env.PATH }, detached: true, stdio: 'ignore' })
    writeFileSync(cgroup + '/inner/cgroup.procs', String(one.pid))
    const two = spawn('sh', ['-c', 'sleep 1000 & echo $!; wait'], { env, detached: true, stdio: ['ignore', 'pipe', 'ignore'] })
    two.stdout.once('data', (pid) => console.log(JSON.stringify([one.pid, two.pid, Number(pid)])))
    process.stdin.resume()
  `
  const owner = spawn(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', '--v8-pool-size=0', '--input-type=module', '-e', script, id, directory, mount, cgroup],
    {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: process.env,
    },
  )
  children.push(owner)
  const [line] = (await once(createInterface(owner.stdout!), 'line')) as [string]
  const pids = JSON.parse(line) as number[]
  const traces = () => ({
    processes: pids.filter((pid) => startTime(pid) !== undefined).length,
    cgroup: existsSync(cgroup),
    mount: mountPoints().includes(mount),
    directory: existsSync(directory),
    state: existsSync(join(scratch, 'state', `${id}.jsonl`)),
  })
  return { owner, directory, traces }
}

const everything = { processes: 3, cgroup: true, mount: true, directory: true, state: true }
const nothing = { processes: 0, cgroup: false, mount: false, directory: false, state: false }

async function killed(child: ChildProcess): Promise<void> {
  child.kill('SIGKILL')
  await once(child, 'exit')
}

describe('a killed run', () => {
  test('is removed by clean, with its processes, cgroup, mount and directory, and nothing else', async () => {
    const [a, b] = [newOwnerId(), newOwnerId()]
    const [dead, live] = await Promise.all([startRun(a), startRun(b)])
    const bystander = spawn('sleep', ['1000'], { env: { ...process.env, EVERYHOP_OWNER: `${a}0`, NOT_EVERYHOP_OWNER: a } })
    children.push(bystander)
    await killed(dead.owner)
    expect(dead.traces()).toEqual(everything)

    const report = await clean()

    expect(dead.traces()).toEqual(nothing)
    expect(live.traces()).toEqual(everything)
    expect(bystander.exitCode ?? bystander.signalCode).toBeNull()
    expect(report.cleaned.map((c) => c.id)).toEqual([a])
    expect(report.cleaned[0]?.removed.filter((r) => r.startsWith('process '))).toHaveLength(2)
    expect(report.alive).toEqual([{ id: b, ownerPid: live.owner.pid }])
    expect(report.failed).toEqual([])

    await killed(live.owner)
    expect((await clean([a])).cleaned).toEqual([])
    expect((await clean([b])).cleaned).toHaveLength(1)
    expect(live.traces()).toEqual(nothing)
  })

  test('whose pid now belongs to another process is still dead', async () => {
    const id = newOwnerId()
    const run = await startRun(id)
    await killed(run.owner)
    const file = join(scratch, 'state', `${id}.jsonl`)
    const [first = '', ...rest] = readFileSync(file, 'utf8').split('\n')
    writeFileSync(file, [JSON.stringify({ ...JSON.parse(first), pid: process.pid }), ...rest].join('\n'))
    expect(listOwners()).toMatchObject([{ id, ownerPid: process.pid, alive: false }])
    await clean()
    expect(run.traces()).toEqual(nothing)
  })

  test('that was killed while its state file came into being leaves no draft of it', async () => {
    const id = newOwnerId()
    const run = await startRun(id)
    const record = readFileSync(join(scratch, 'state', `${id}.jsonl`), 'utf8').split('\n', 1)[0]
    const draft = (name: string, text: string) => {
      const file = join(scratch, 'state', name)
      writeFileSync(file, text)
      return file
    }
    const [whole, cut, old] = [draft(`.${id}.1`, `${record}\n`), draft(`.${id}.2`, '{"id"'), draft(`.${id}.3`, '{"id"')]
    utimesSync(old, 0, 0)
    await clean([])
    expect([whole, cut, old].map(existsSync)).toEqual([true, true, false])
    await killed(run.owner)
    await clean()
    expect([whole, cut].map(existsSync)).toEqual([false, true])
  })

  test('cannot be taken over: its id is refused until it is cleaned', async () => {
    const id = newOwnerId()
    const run = await startRun(id)
    await killed(run.owner)
    expect(() => Registry.open(id)).toThrow(/is dead; fix: run "everyhop clean"/)
  })
})

describe('a run in a pid namespace of its own', () => {
  /** Prints a line when its owner is there; ends, with the whole namespace, when it is killed. */
  async function startInNamespace(id: string): Promise<ChildProcess> {
    const script = `
      import { Registry } from ${JSON.stringify(new URL('./registry.ts', import.meta.url).pathname)}
      Registry.open(process.argv[1])
      console.log(process.pid)
      process.stdin.resume()
    `
    const node = [process.execPath, '--disable-warning=ExperimentalWarning', '--v8-pool-size=0', '--input-type=module', '-e', script, id]
    const owner = spawn('unshare', ['--pid', '--fork', '--kill-child', '--mount-proc', '--propagation', 'private', ...node], {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: process.env,
    })
    children.push(owner)
    const [line] = (await once(createInterface(owner.stdout!), 'line')) as [string]
    expect(Number(line)).toBe(1)
    return owner
  }

  test('is alive as long as it lives, and then can be cleaned', async () => {
    const id = newOwnerId()
    const owner = await startInNamespace(id)
    expect((await clean()).alive).toEqual([{ id, ownerPid: 1 }])
    const ended = once(owner, 'exit')
    const [first] = readFileSync(`/proc/${owner.pid}/task/${owner.pid}/children`, 'utf8').trim().split(' ')
    process.kill(Number(first), 'SIGKILL')
    // unshare ends when it has waited for the namespace's first process: nothing of it is seen from then on.
    await ended
    // Where not all namespaces are seen, an owner that is not seen is not touched.
    const seesAll = readlinkSync('/proc/self/ns/pid') === 'pid:[4026531836]'
    expect((await clean()).cleaned.map((c) => c.id)).toEqual(seesAll ? [id] : [])
  })

  test('does not take one of the host for dead, though it cannot see it', async () => {
    const id = newOwnerId()
    Registry.open(id)
    const script = `
      import { clean } from ${JSON.stringify(new URL('./registry.ts', import.meta.url).pathname)}
      console.log(JSON.stringify(await clean()))
    `
    const node = [process.execPath, '--disable-warning=ExperimentalWarning', '--v8-pool-size=0', '--input-type=module', '-e', script]
    const out = execFileSync('unshare', ['--pid', '--fork', '--mount-proc', '--propagation', 'private', ...node], { encoding: 'utf8' })
    expect(JSON.parse(out)).toEqual({ cleaned: [], alive: [{ id, ownerPid: process.pid }], failed: [] })
  })
})

describe('teardown', () => {
  test('removes in reverse order, is idempotent, and ends the registry', async () => {
    const registry = Registry.open(newOwnerId())
    const directory = join(scratch, 'nested')
    registry.register({ kind: 'directory', path: directory })
    mkdirSync(directory)
    registry.register({ kind: 'mount', path: directory })
    execFileSync('mount', ['-t', 'tmpfs', 'none', directory])
    execFileSync('mount', ['-t', 'tmpfs', 'none', directory])
    await registry.teardown()
    await registry.teardown()
    expect(existsSync(directory)).toBe(false)
    expect(listOwners()).toEqual([])
    expect(() => registry.register({ kind: 'processes' })).toThrow(/after its teardown/)
  })

  test('never removes across a mount, says which, and can be repeated once it is gone', async () => {
    const registry = Registry.open(newOwnerId())
    const directory = join(scratch, 'with mount')
    mkdirSync(join(directory, 'inner'), { recursive: true })
    registry.register({ kind: 'directory', path: directory })
    execFileSync('mount', ['--bind', scratch, join(directory, 'inner')])
    try {
      await expect(registry.teardown()).rejects.toThrow(`holds mounts: ${directory}/inner; fix: umount`)
      expect(existsSync(join(scratch, 'state'))).toBe(true)
    } finally {
      execFileSync('umount', [join(directory, 'inner')])
    }
    await registry.teardown()
    expect(existsSync(directory)).toBe(false)
  })

  test('leaves what was released', async () => {
    const registry = Registry.open(newOwnerId())
    const kept = join(scratch, 'kept')
    mkdirSync(kept)
    registry.register({ kind: 'directory', path: kept })
    registry.release({ kind: 'directory', path: kept })
    await registry.teardown()
    expect(existsSync(kept)).toBe(true)
  })
})

describe('a state file', () => {
  const stateFile = (id: string, text: string) => {
    mkdirSync(join(scratch, 'state'), { recursive: true })
    const file = join(scratch, 'state', `${id}.jsonl`)
    writeFileSync(file, text)
    return file
  }

  test('that is corrupt is named with its line and fix, and does not hide the others', async () => {
    const id = newOwnerId()
    const run = await startRun(id)
    await killed(run.owner)
    const good = readFileSync(join(scratch, 'state', `${id}.jsonl`), 'utf8').split('\n')
    const bad = stateFile('eh-00000000', `${good[0]?.replace(id, 'eh-00000000')}\n{"register":{"kind":"directory"}}\n`)
    const empty = stateFile('eh-00000001', '')
    const report = await clean()
    expect(report.cleaned.map((c) => c.id)).toEqual([id])
    expect(run.traces()).toEqual(nothing)
    expect(report.failed).toEqual([
      { id: 'eh-00000000', problems: [expect.stringContaining(`${bad}, line 2: not a record of everyhop; fix: `)] },
      { id: 'eh-00000001', problems: [expect.stringContaining(`${empty}, line 1: not a record`)] },
    ])
    rmSync(bad)
    rmSync(empty)
  })

  test('whose last line was cut by a kill is read without it', () => {
    const id = newOwnerId()
    const registry = Registry.open(id)
    registry.register({ kind: 'processes' })
    const file = join(scratch, 'state', `${id}.jsonl`)
    writeFileSync(file, `${readFileSync(file, 'utf8')}{"register":{"kind":"dire`)
    expect(listOwners()).toMatchObject([{ id, alive: true, resources: [{ kind: 'processes' }] }])
  })

  test('is not made for an id that is none', () => {
    expect(() => Registry.open('../etc/passwd')).toThrow(/not of the form/)
  })
})

test('an owner has the label that it was opened with, until nothing is left of it', async () => {
  const id = newOwnerId()
  const registry = Registry.open(id, 'the run in /tmp/x')
  Registry.open(id)
  expect(listOwners().find((o) => o.id === id)?.label).toBe('the run in /tmp/x')
  await registry.teardown()
  expect(readdirSync(stateDirectory()).filter((name) => name.startsWith(id))).toEqual([])
})
