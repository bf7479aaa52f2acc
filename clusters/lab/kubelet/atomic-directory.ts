import { mkdirSync, readdirSync, readFileSync, readlinkSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

/** The files of a volume: path relative to it → content and mode. */
export type Payload = ReadonlyMap<string, { readonly data: Buffer; readonly mode: number }>

let serial = 0

/**
 * Brings a directory to the payload in one step, as the kubelet's atomic writer does: files lie in a dated directory, `..data` is a link to it
 * that is replaced by rename, and what readers open are links through `..data`.
 * @returns whether anything had to be changed
 */
export function writeAtomically(directory: string, payload: Payload): boolean {
  mkdirSync(directory, { recursive: true })
  const data = join(directory, '..data')
  const former = link(data)
  if (former !== undefined && same(join(directory, former), payload)) return false
  const dated = `..${new Date().toISOString().replace(/[-:T]/g, '_').slice(0, 19)}.${process.pid}${++serial}`
  mkdirSync(join(directory, dated))
  for (const [path, { data, mode }] of payload) {
    const file = join(directory, dated, path)
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, data, { mode })
  }
  symlinkSync(dated, `${data}_tmp`)
  renameSync(`${data}_tmp`, data)
  const names = new Set([...payload.keys()].map((path) => path.split('/')[0] as string))
  for (const name of names) if (link(join(directory, name)) === undefined) symlinkSync(join('..data', name), join(directory, name))
  for (const name of readdirSync(directory)) if (!name.startsWith('..') && !names.has(name)) rmSync(join(directory, name))
  if (former !== undefined) rmSync(join(directory, former), { recursive: true, force: true })
  return true
}

function same(directory: string, payload: Payload): boolean {
  const files = readdirSync(directory, { withFileTypes: true, recursive: true }).filter((entry) => entry.isFile())
  if (files.length !== payload.size) return false
  for (const [path, { data }] of payload) {
    try {
      if (!readFileSync(join(directory, path)).equals(data)) return false
    } catch {
      return false
    }
  }
  return true
}

function link(path: string): string | undefined {
  try {
    return readlinkSync(path)
  } catch {
    return undefined
  }
}
