import { z } from 'zod'
import type { RuleDump } from './iptables-save.ts'

/** `handles.json` of a namespace's snapshot: family → table → chain → the handles of its rules, in order. */
export const handlesSchema = z.record(z.string(), z.record(z.string(), z.record(z.string(), z.array(z.int().min(0)))))
export type Handles = z.infer<typeof handlesSchema>

/** What one snapshot tells of the rules of one namespace. */
export interface RuleSource {
  readonly node: string
  readonly netns: string
  /** When it was taken; undefined: not known, then the order of the sources counts. */
  readonly t: number | undefined
  readonly family: 'ip' | 'ip6'
  readonly dump: RuleDump
  readonly handles: Handles
  /** The dump is of iptables-legacy: rules are known by their numbers in it, not by handles. */
  readonly backend?: 'legacy'
}

/** Finds the text of a rule by its handle: nf_tables counts handles up in a table and never gives one twice while the table lives. */
export class RuleTexts {
  readonly #sources = new Map<string, { t: number | undefined; rules: Map<string, string> }[]>()

  /** @param sources in the order of their snapshots */
  constructor(sources: Iterable<RuleSource>) {
    for (const source of sources) {
      const key = `${source.node}/${source.netns} ${source.family} ${source.backend ?? ''}`
      const list = this.#sources.get(key) ?? []
      this.#sources.set(key, list)
      list.push({ t: source.t, rules: source.backend === 'legacy' ? byNumber(source) : byHandle(source) })
    }
  }

  /**
   * The rule as iptables-save prints it. Asked first is the nearest snapshot before `t`, then older ones, then later ones (the rule was made after the last snapshot).
   * `handle`: for iptables-legacy the rule's number, which is of that moment only, or `policy` for the chain's policy word.
   * undefined: no snapshot knows it, as for a table that is not iptables'.
   */
  find(place: {
    node: string
    netns: string
    family: string
    table: string
    chain: string
    handle: number | 'policy'
    t: number
    backend?: 'legacy' | undefined
  }): string | undefined {
    const list = this.#sources.get(`${place.node}/${place.netns} ${place.family} ${place.backend ?? ''}`) ?? []
    const key = `${place.table} ${place.chain} ${place.handle}`
    const before = list.findLastIndex(({ t }) => t === undefined || t <= place.t)
    for (let i = before; i >= 0; i--) {
      const rule = list[i]!.rules.get(key)
      if (rule !== undefined) return rule
    }
    for (let i = before + 1; i < list.length; i++) {
      const rule = list[i]!.rules.get(key)
      if (rule !== undefined) return rule
    }
    return undefined
  }
}

function byHandle({ dump, handles, family }: RuleSource): Map<string, string> {
  const rules = new Map<string, string>()
  for (const [table, chains] of dump) {
    for (const [chain, { rules: dumped }] of chains) {
      const own = handles[family]?.[table]?.[chain]
      // Taken a moment apart, the two dumps can differ; then no handle can be trusted to be this rule's.
      if (!own || own.length !== dumped.length) continue
      for (const [i, handle] of own.entries()) rules.set(`${table} ${chain} ${handle}`, dumped[i]!.text)
    }
  }
  return rules
}

function byNumber({ dump }: RuleSource): Map<string, string> {
  const rules = new Map<string, string>()
  for (const [table, chains] of dump) {
    for (const [chain, { policy, rules: dumped }] of chains) {
      rules.set(`${table} ${chain} policy`, policy)
      for (const [i, { text }] of dumped.entries()) rules.set(`${table} ${chain} ${i + 1}`, text)
    }
  }
  return rules
}
