import { randomBytes } from 'node:crypto'
import {
  closeSync,
  constants,
  existsSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { z } from 'zod'
import { lives, ownIdentity } from './identity.ts'
import { remove } from './removal.ts'

const resourceSchema = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('processes') }),
  z.strictObject({ kind: z.literal('cgroup'), path: z.string().startsWith('/') }),
  z.strictObject({ kind: z.literal('mount'), path: z.string().startsWith('/') }),
  z.strictObject({ kind: z.literal('directory'), path: z.string().startsWith('/') }),
  z.strictObject({ kind: z.literal('docker'), cluster: z.string(), host: z.string().optional() }),
])

/**
 * Something on the host that outlives the code that made it.
 * - `processes`: every process whose environment has `EVERYHOP_OWNER=<owner id>` (children inherit it)
 * - `cgroup`: an absolute path; removed after its processes were killed, children first
 * - `mount`: a mount point; lazily unmounted
 * - `directory`: removed recursively, never across a mount
 * - `docker`: containers, volumes and the network of a kind cluster, in the Docker at `host` (for `DOCKER_HOST`; absent: docker's own choice)
 */
export type Resource = z.infer<typeof resourceSchema>

const ownerSchema = z.strictObject({
  id: z.string().regex(/^eh-[0-9a-f]{8}$/),
  pid: z.int().positive(),
  starttime: z.string(),
  boot: z.string(),
  pidns: z.string(),
})
const lineSchema = z.union([z.strictObject({ register: resourceSchema }), z.strictObject({ release: resourceSchema })])

/** What one state file says. `problem`: why the file cannot be used; then nothing else in the entry can be trusted. */
export interface Owner {
  readonly id: string
  readonly ownerPid: number
  readonly alive: boolean
  /** In the order of their registration. */
  readonly resources: readonly Resource[]
  readonly problem?: string
  /** What it was made for. */
  readonly label?: string
}

export interface CleanReport {
  /** Dead owners of which nothing is left now, and what was removed. */
  readonly cleaned: readonly { id: string; removed: readonly string[] }[]
  /** Owners that live: not touched. */
  readonly alive: readonly { id: string; ownerPid: number }[]
  /** Owners of which something is left, each problem with its fix. */
  readonly failed: readonly { id: string; problems: readonly string[] }[]
}

/** A state file or owner that cannot be used; the message names the file, the line and the fix. */
export class RegistryError extends Error {
  override name = 'RegistryError'
}

/** A new owner id, `eh-<8 hex>`. */
export function newOwnerId(): string {
  return `eh-${randomBytes(4).toString('hex')}`
}

/** Where the state files are: `$EVERYHOP_STATE_DIR`, else `/var/lib/everyhop` (root), else `$XDG_STATE_HOME/everyhop`. */
export function stateDirectory(): string {
  const { EVERYHOP_STATE_DIR: own, XDG_STATE_HOME: xdg } = process.env
  if (own) return own
  if (process.getuid?.() === 0) return '/var/lib/everyhop'
  return join(xdg || join(homedir(), '.local', 'state'), 'everyhop')
}

/** What one run owns on this host, written down before it is made, so that a later run can remove it when this one is killed. */
export class Registry {
  readonly id: string
  private readonly file: string

  private constructor(id: string, file: string) {
    this.id = id
    this.file = file
  }

  /**
   * The registry of owner `id`. The first process that opens it becomes the owner: while it lives, `clean` touches nothing of it.
   * Processes started by the owner open it too, to register what they make.
   * @param label what it is made for, for whoever finds what is left of it
   */
  static open(id: string, label?: string): Registry {
    const directory = stateDirectory()
    mkdirSync(directory, { recursive: true })
    const file = stateFile(id)
    const record = { id, ...ownIdentity() }
    if (!ownerSchema.safeParse(record).success) throw new RegistryError(`owner id ${JSON.stringify(id)} is not of the form eh-<8 hex>`)
    if (label) writeFileSync(labelFile(id), label)
    // Linked into place whole: a state file always has its first line.
    const draft = join(directory, `.${id}.${process.pid}`)
    writeFileSync(draft, `${JSON.stringify(record)}\n`)
    try {
      linkSync(draft, file)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
      const owner = read(id)
      if (owner.problem) throw new RegistryError(owner.problem)
      if (!owner.alive) throw new RegistryError(`owner ${id} (pid ${owner.ownerPid}) is dead; fix: run "everyhop clean", then use a new id`)
    } finally {
      unlinkSync(draft)
    }
    return new Registry(id, file)
  }

  /** Writes the resource down. Call it before the resource is made: a kill at any moment after leaves nothing unknown. */
  register(resource: Resource): void {
    this.append({ register: resource })
  }

  /** Says that the resource is gone or was never made. */
  release(resource: Resource): void {
    this.append({ release: resource })
  }

  /** Removes everything registered, processes first, then the rest in reverse order. Idempotent. Throws an AggregateError if something stays. */
  async teardown(): Promise<void> {
    const { problems } = await removeOwner(read(this.id))
    if (problems.length > 0) {
      const list = problems.map((p) => `\n  ${p}`).join('')
      throw new AggregateError(
        problems.map((p) => new RegistryError(p)),
        `${this.id}: not everything could be removed:${list}`,
      )
    }
  }

  private append(line: z.infer<typeof lineSchema>): void {
    try {
      // One write with O_APPEND: several processes of a run share the file. No O_CREAT: after teardown nobody may register.
      const fd = openSync(this.file, constants.O_WRONLY | constants.O_APPEND)
      try {
        writeSync(fd, `${JSON.stringify(line)}\n`)
        // Directories alone survive a power cut; for the rest it is enough that the line survives this process.
        if ('register' in line && line.register.kind === 'directory') fsyncSync(fd)
      } finally {
        closeSync(fd)
      }
    } catch (error) {
      throw new RegistryError(
        `${this.file}: cannot write (${(error as Error).message}); after its teardown nothing can be registered for ${this.id}`,
      )
    }
  }
}

/** All owners that have a state file, dead or alive, by id. */
export function listOwners(): Owner[] {
  let names: string[]
  try {
    names = readdirSync(stateDirectory())
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
  return names
    .filter((name) => /^eh-.*\.jsonl$/.test(name))
    .sort()
    .map((name) => read(name.slice(0, -'.jsonl'.length)))
}

/** Removes what dead owners left, and only that. @param ids only these owners; @default all */
export async function clean(ids?: readonly string[]): Promise<CleanReport> {
  const cleaned: { id: string; removed: readonly string[] }[] = []
  const alive: { id: string; ownerPid: number }[] = []
  const failed: { id: string; problems: readonly string[] }[] = []
  removeDrafts()
  for (const owner of listOwners()) {
    if (ids && !ids.includes(owner.id)) continue
    if (owner.problem) failed.push({ id: owner.id, problems: [owner.problem] })
    else if (owner.alive) alive.push({ id: owner.id, ownerPid: owner.ownerPid })
    else {
      const { removed, problems } = await removeOwner(owner)
      if (problems.length > 0) failed.push({ id: owner.id, problems })
      else cleaned.push({ id: owner.id, removed })
    }
  }
  return { cleaned, alive, failed }
}

async function removeOwner(owner: Owner): Promise<{ removed: string[]; problems: string[] }> {
  if (owner.problem) return { removed: [], problems: [owner.problem] }
  const removed: string[] = []
  const problems: string[] = []
  const processesFirst = (r: Resource) => (r.kind === 'processes' ? 0 : 1)
  const order = [...owner.resources].reverse().sort((a, b) => processesFirst(a) - processesFirst(b))
  for (const resource of order) {
    try {
      removed.push(...(await remove(resource, owner)))
    } catch (error) {
      problems.push((error as Error).message)
    }
  }
  if (problems.length === 0) {
    for (const file of [labelFile(owner.id), stateFile(owner.id)]) rmSync(file, { force: true })
  }
  return { removed, problems }
}

function stateFile(id: string): string {
  return join(stateDirectory(), `${id}.jsonl`)
}

const labelFile = (id: string) => join(stateDirectory(), `${id}.label`)

/** Removes drafts of state files whose process was killed before it had put them into place. */
function removeDrafts(): void {
  const directory = stateDirectory()
  if (!existsSync(directory)) return
  for (const name of readdirSync(directory).filter((file) => /^\.eh-[0-9a-f]{8}\.\d+$/.test(file))) {
    const file = join(directory, name)
    try {
      const draft = ownerSchema.safeParse(parseJson(readFileSync(file, 'utf8')))
      // One that cannot be read may be being written just now.
      const dead = draft.success ? !lives(draft.data) : Date.now() - statSync(file).mtimeMs > 60_000
      if (dead) unlinkSync(file)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    }
  }
}

function read(id: string): Owner {
  const file = stateFile(id)
  const none = { id, ownerPid: 0, alive: false, resources: [] }
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return none
    throw error
  }
  // A line without its end was being written when its process was killed: its resource was not made yet.
  const lines = text.split('\n').slice(0, -1)
  const live = new Map<string, Resource>()
  const parsed = lines.map((line, i) => {
    const result = (i === 0 ? ownerSchema : lineSchema).safeParse(parseJson(line))
    return result.success ? result.data : undefined
  })
  const bad = lines.length === 0 ? 0 : parsed.indexOf(undefined)
  if (bad >= 0) {
    const fix = `fix: remove by hand what its other lines name (processes: environment ${'EVERYHOP_OWNER'}=${id}), then delete the file`
    return { ...none, problem: `${file}, line ${bad + 1}: not a record of everyhop; ${fix}` }
  }
  const owner = parsed[0] as z.infer<typeof ownerSchema>
  for (const line of parsed.slice(1) as z.infer<typeof lineSchema>[]) {
    if ('register' in line) live.set(JSON.stringify(line.register), line.register)
    else live.delete(JSON.stringify(line.release))
  }
  return { id, ownerPid: owner.pid, alive: lives(owner), resources: [...live.values()], ...labelOf(id) }
}

function labelOf(id: string): { label?: string } {
  try {
    return { label: readFileSync(labelFile(id), 'utf8') }
  } catch {
    return {}
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
