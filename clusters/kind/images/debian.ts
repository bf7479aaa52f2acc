import {
  chmodSync,
  cpSync,
  existsSync,
  globSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  readdirSync,
  readlinkSync,
  rmSync,
  symlinkSync,
} from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { execa } from 'execa'
import { versions } from '../node-image/versions.ts'

/**
 * Calls `use` with a root file system of Debian's packages: unpacked, not configured, so nothing of them runs. Needs root and mmdebstrap.
 * @param beside the root file system is made next to this path, and removed afterwards
 */
export async function withPackages(packages: readonly string[], beside: string, use: (root: string) => Promise<void>): Promise<void> {
  const root = `${beside}-packages`
  makeTopLinks(root)
  try {
    const extract = ['--mode=root', '--variant=extract', '--quiet', '--skip=check/empty', '--aptopt=APT::Install-Recommends "false"']
    await execa('mmdebstrap', [...extract, `--include=${packages.join(',')}`, versions.debian, root])
    await use(root)
  } finally {
    rmSync(root, { recursive: true, force: true })
  }
}

/** `/bin`, `/lib`, … as Debian has them: links into `/usr`. */
export function makeTopLinks(root: string): void {
  for (const name of ['bin', 'sbin', 'lib', 'lib64']) {
    mkdirSync(join(root, 'usr', name), { recursive: true })
    symlinkSync(`usr/${name}`, join(root, name))
  }
}

/**
 * Copies what is named from one root file system into another, with all shared libraries that it is linked to. Paths below `/usr`; wildcards are allowed.
 * @throws Error naming the path that is not there, or the library that is missing
 */
export async function copyWithLibraries(from: string, to: string, paths: readonly string[]): Promise<void> {
  const wanted = paths.flatMap((path) => {
    const found = globSync(path.slice(1), { cwd: from })
    if (found.length === 0) throw new Error(`the packages of Debian ${versions.debian} hold no ${path}`)
    return found
  })
  const files = wanted.flatMap((path) => filesBelow(from, path))
  const programs = files.filter((path) => lstatSync(join(from, path)).isFile() && /^usr\/(s?bin|local\/bin)\/|\.so(\.|$)/.test(path))
  for (const path of [...files, ...(await librariesOf(from, programs))]) copyFile(from, to, path)
}

/** Gives equal trees equal modes and times, whatever the umask was and whenever they were made. */
export function normalise(root: string): void {
  // Entries before their directories: what is done to an entry changes its directory's time.
  const entries = readdirSync(root, { recursive: true, encoding: 'utf8' }).map((path) => join(root, path))
  for (const entry of [root, ...entries].toSorted().toReversed()) {
    const found = lstatSync(entry)
    if (!found.isSymbolicLink()) chmodSync(entry, found.isDirectory() || found.mode & 0o100 ? 0o755 : 0o644)
    lutimesSync(entry, 0, 0)
  }
}

/** Takes away what is in another tree already, and directories that hold nothing then. */
export function withoutThatOf(below: string, root: string): void {
  const visit = (path: string): boolean => {
    const full = join(root, path)
    const at = lstatSync(full)
    if (!at.isDirectory()) {
      const same = existsSync(join(below, path)) || lstatSync(join(below, path), { throwIfNoEntry: false })?.isSymbolicLink()
      if (same) rmSync(full)
      return !same
    }
    const kept = readdirSync(full).map((name) => visit(join(path, name)))
    if (!kept.includes(true)) rmSync(full, { recursive: true })
    return kept.includes(true)
  }
  visit('')
}

/** A path, or all below it, with what symbolic links on the way lead to. */
function filesBelow(root: string, path: string): string[] {
  const found = lstatSync(join(root, path))
  if (found.isSymbolicLink()) {
    const target = readlinkSync(join(root, path))
    // Debian's alternatives lead out of the packages: a caller names the program itself.
    const next = target.startsWith('/') ? target.slice(1) : relative('/', join('/', dirname(path), target))
    return [path, ...(existsSync(join(root, next)) ? filesBelow(root, next) : [])]
  }
  if (found.isDirectory()) return readdirSync(join(root, path)).flatMap((name) => filesBelow(root, join(path, name)))
  return [path]
}

/** The shared libraries of programs and libraries, and of those: paths below `root`, as its own dynamic loader finds them. */
async function librariesOf(root: string, programs: readonly string[]): Promise<string[]> {
  const found = new Set<string>()
  for (const program of programs) {
    const { stdout, exitCode } = await execa('chroot', [root, '/lib64/ld-linux-x86-64.so.2', '--list', `/${program}`], { reject: false })
    // A static program has none.
    if (exitCode !== 0) continue
    const missing = /^\s*(\S+) => not found/m.exec(stdout)
    if (missing) throw new Error(`${program} needs ${missing[1]}, which no package brings`)
    for (const [, path = ''] of stdout.matchAll(/(?:=> |^\s+)(\/\S+) \(0x/gm)) found.add(path)
  }
  return [...found].flatMap((path) => filesBelow(root, join('usr', path.replace(/^\/usr/, ''))))
}

function copyFile(from: string, to: string, path: string): void {
  mkdirSync(dirname(join(to, path)), { recursive: true })
  cpSync(join(from, path), join(to, path), { verbatimSymlinks: true })
}
