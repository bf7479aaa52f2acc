import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import type { Netns } from '../command.ts'
import { confOf, setConf } from '../sysctl.ts'

/**
 * Settings of the node's network that the mode changes, and what they were before: they are put back at uninstall, by whichever agent does that.
 * Those of interfaces that are gone by then are forgotten.
 */
export class NodeSettings {
  readonly #host: Netns
  readonly #path: string | undefined
  #former: Record<string, string>

  /** @param path file that keeps them from one agent to the next; one that cannot be read counts as none */
  constructor(host: Netns, path: string | undefined) {
    this.#host = host
    this.#path = path
    this.#former = read(path)
  }

  /** @throws Error that names the first key that cannot be set */
  set(values: Readonly<Record<string, string>>): void {
    const now = confOf(this.#host, Object.keys(values))
    const changed = Object.entries(now).filter(([key, value]) => value !== values[key])
    if (changed.some(([key]) => this.#former[key] === undefined)) {
      const all = { ...Object.fromEntries(changed), ...this.#former }
      this.#keep(Object.fromEntries(Object.keys(confOf(this.#host, Object.keys(all))).map((key) => [key, all[key]!])))
    }
    setConf(this.#host, values)
  }

  /** Idempotent. */
  restore(): void {
    const there = confOf(this.#host, Object.keys(this.#former))
    setConf(this.#host, Object.fromEntries(Object.keys(there).map((key) => [key, this.#former[key]!])))
    this.#former = {}
    if (this.#path) rmSync(this.#path, { force: true })
  }

  /** Written before anything is changed: an agent that is killed in between leaves no change that nobody can take back. */
  #keep(former: Record<string, string>): void {
    this.#former = former
    if (!this.#path) return
    mkdirSync(dirname(this.#path), { recursive: true })
    writeFileSync(this.#path, JSON.stringify(former))
  }
}

function read(path: string | undefined): Record<string, string> {
  if (!path || !existsSync(path)) return {}
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as Record<string, string>
  } catch {
    return {}
  }
}
