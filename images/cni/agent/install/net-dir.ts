import { mkdirSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Log } from '../../redirect/redirection.ts'
import { ConfError, chain, parseConf, unchain } from './conflist.ts'
import { readIfThere, writeAtomically } from './files.ts'

/** The node's directory of network configurations. */
export class NetDir {
  readonly #path: string
  readonly #chosen: string | undefined
  readonly #entry: Record<string, unknown>
  readonly #log: Log
  readonly #complained = new Set<string>()

  /** @param chosen a file name to use instead of the first valid one @param entry our plugin's own configuration */
  constructor(path: string, chosen: string | undefined, entry: Record<string, unknown>, log: Log) {
    this.#path = path
    this.#chosen = chosen
    this.#entry = entry
    this.#log = log
    mkdirSync(path, { recursive: true })
  }

  /** Puts our entry into the configuration that the container runtime uses. `unchanged`: it is there; `none`: there is no configuration yet. */
  ensure(): 'written' | 'unchanged' | 'none' {
    const fileName = this.#current()
    if (!fileName) return 'none'
    const path = join(this.#path, fileName)
    const text = readIfThere(path)
    if (text === undefined) return 'none'
    const chained = chain(text, fileName, this.#entry)
    if (chained.fileName === fileName && sameJson(chained.text, text)) return 'unchanged'
    this.#log.info(
      `configuration requires updates, (re)writing CNI config file: perform initial update of highest priority config ${path} using existing configuration from file ${fileName}`,
    )
    const target = join(this.#path, chained.fileName)
    writeAtomically(target, chained.text)
    // `x.conf` sorts before `x.conflist`: until it is gone it is what the runtime uses.
    if (target !== path) rmSync(path)
    this.#log.info(`Wrote CNI config to ${target}`)
    return 'written'
  }

  /** Takes our entry out of every configuration; one that held nothing else is removed. */
  remove(): void {
    for (const fileName of this.#files()) {
      const path = join(this.#path, fileName)
      const text = readIfThere(path)
      if (text === undefined) continue
      try {
        const rest = unchain(text, fileName)
        if (rest === text) continue
        if (rest === undefined) rmSync(path, { force: true })
        else writeAtomically(path, rest)
        this.#log.info(`removed istio-cni from CNI config ${path}`)
      } catch (error) {
        if (!(error instanceof ConfError)) throw error
      }
    }
  }

  /** The configuration that container runtimes take: the first valid one in alphabetical order. */
  #current(): string | undefined {
    return this.#files().find((fileName) => {
      if (this.#chosen !== undefined && fileName !== this.#chosen) return false
      try {
        parseConf(readIfThere(join(this.#path, fileName)) ?? '', fileName)
        return true
      } catch (error) {
        if (!(error instanceof ConfError)) throw error
        if (!this.#complained.has(error.message)) this.#log.warn(`CNI config ignored: ${error.message}`)
        this.#complained.add(error.message)
        return false
      }
    })
  }

  #files(): string[] {
    return readdirSync(this.#path)
      .filter((f) => !f.startsWith('.') && (f.endsWith('.conf') || f.endsWith('.conflist')))
      .sort()
  }
}

function sameJson(a: string, b: string): boolean {
  return a === b || JSON.stringify(JSON.parse(a)) === JSON.stringify(JSON.parse(b))
}
