import { CommandError, type Netns, netnsPath, tryIn } from '../command.ts'
import type { Family, Rule } from './rule.ts'
import { compare, type Difference, type Owns, parseSave, removeText, replaceText, type Saved, unhookText } from './ruleset.ts'

export type Backend = 'nft' | 'legacy'

/**
 * Which iptables the node uses, asked once and then used in every pod (as upstream): `legacy` only where the node has legacy rules and no nft ones.
 * @param forced value of FORCE_IPTABLES_BINARY, `nft` or `legacy`
 */
export async function detectBackend(host: Netns, forced?: string): Promise<Backend> {
  if (forced === 'nft' || forced === 'legacy') return forced
  if (forced) throw new TypeError(`FORCE_IPTABLES_BINARY is ${JSON.stringify(forced)}: expected nft or legacy`)
  const nft = await tryIn(host, ['iptables-nft-save'])
  if (nft.exitCode === 0 && /^-A /m.test(nft.stdout)) return 'nft'
  const legacy = await tryIn(host, ['iptables-legacy-save'])
  if (legacy.exitCode === 0 && /^-A /m.test(legacy.stdout)) return 'legacy'
  return nft.exitCode === 0 || legacy.exitCode !== 0 ? 'nft' : 'legacy'
}

/**
 * Which iptables the kubelet uses, as upstream asks from 1.20 on: the backend whose mangle table has the chain that the kubelet leaves as
 * a hint, nft first; nft where neither has.
 * @param forced value of FORCE_IPTABLES_BINARY, `nft` or `legacy`
 */
export async function kubeletBackend(host: Netns, forced?: string): Promise<Backend> {
  if (forced) return detectBackend(host, forced)
  for (const backend of ['nft', 'legacy'] as const) {
    const saved = await tryIn(host, [`iptables-${backend}-save`, '-t', 'mangle'])
    if (/^:KUBE-(?:IPTABLES-HINT|KUBELET-CANARY) /m.test(saved.stdout)) return backend
  }
  return 'nft'
}

/** iptables of one backend and one family, in any namespace. */
export class Iptables {
  readonly family: Family
  readonly #program: string

  constructor(family: Family, backend: Backend) {
    this.family = family
    this.#program = `${family === 'v4' ? 'iptables' : 'ip6tables'}-${backend}`
  }

  /** Why this family cannot be used here: no program, no kernel part. Undefined: it can. */
  async unusable(netns: Netns): Promise<string | undefined> {
    const result = await tryIn(netns, [`${this.#program}-save`, '-t', 'nat'])
    if (result.exitCode === 0) return undefined
    return result.stderr.trim() || `${this.#program}-save: exit code ${result.exitCode}`
  }

  /** All tables of a namespace as they are. */
  async read(netns: Netns): Promise<Saved> {
    const argv = [`${this.#program}-save`]
    const result = await tryIn(netns, argv)
    if (result.exitCode !== 0) throw new CommandError(argv, `network namespace ${netnsPath(netns)}`, result)
    return parseSave(result.stdout)
  }

  /** Makes the owned chains hold exactly `wanted`; writes nothing when they do. @param saved what is there @returns how that differed */
  async ensure(netns: Netns, saved: Saved, wanted: readonly Rule[], owns: Owns): Promise<Difference> {
    const difference = compare(saved, wanted, owns)
    if (!difference.equal) await this.#restore(netns, replaceText(saved, wanted, owns))
    return difference
  }

  /** Takes everything owned away; what is not there any more is no error. */
  async clear(netns: Netns, owns: Owns): Promise<void> {
    const text = removeText(await this.read(netns), owns)
    if (text !== '') await this.#restore(netns, text)
  }

  /** Takes the jumps into owned chains away, in one table; the chains stay. */
  async unhook(netns: Netns, table: string, owns: Owns): Promise<void> {
    const text = unhookText(await this.read(netns), table, owns)
    if (text !== '') await this.#restore(netns, text)
  }

  /** Runs `iptables-restore --noflush` with that text. */
  write(netns: Netns, text: string): Promise<void> {
    return this.#restore(netns, text)
  }

  async #restore(netns: Netns, text: string): Promise<void> {
    // Legacy: others hold the lock for moments; nft ignores the option.
    const argv = [`${this.#program}-restore`, '--noflush', '--wait', '10']
    const result = await tryIn(netns, argv, text)
    if (result.exitCode !== 0) throw new CommandError(argv, `network namespace ${netnsPath(netns)}, input:\n${text}`, result)
  }
}
