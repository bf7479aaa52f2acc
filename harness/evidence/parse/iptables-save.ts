import type { RuleObservation } from '../observation.ts'
import { EvidenceError, takeAgain } from './error.ts'
import { excerpt } from './jsonl.ts'

/** A rule as the dump has it. */
export interface DumpedRule {
  /** `-A CHAIN …`, without counters. */
  readonly text: string
  readonly packets: number
  readonly bytes: number
  /** Line of the dump, from 1. */
  readonly line: number
}

export interface DumpedChain {
  /** `ACCEPT`, `DROP`; `-` for a chain that is no base chain. */
  readonly policy: string
  readonly packets: number
  readonly bytes: number
  readonly rules: readonly DumpedRule[]
}

/** Table → chain → what is in it. */
export type RuleDump = ReadonlyMap<string, ReadonlyMap<string, DumpedChain>>

const CHAIN = /^:(\S+) (\S+)(?: \[(\d+):(\d+)\])?$/
const RULE = /^(?:\[(\d+):(\d+)\] )?(-A (\S+)(?: .*)?)$/

/**
 * Parses `iptables-save` or `ip6tables-save` text, with `-c` or without (counters are 0 then).
 * A dump that ends inside a table was cut: what was not finished is left out and told in `notes`. Throws EvidenceError naming the line.
 */
export function parseIptablesSave(text: string, file: string, notes: string[] = []): RuleDump {
  const dump = new Map<string, Map<string, { policy: string; packets: number; bytes: number; rules: DumpedRule[] }>>()
  const lines = text.split('\n')
  let table: ReturnType<typeof dump.get>
  let open = ''
  for (const [index, raw] of lines.entries()) {
    const line = raw.trimEnd()
    const last = index === lines.length - 1
    const wrong = (problem: string) => new EvidenceError(file, `line ${index + 1}`, `${problem}: ${excerpt(line)}`, takeAgain)
    if (line === '' || line.startsWith('#')) continue
    if (line === 'COMMIT') {
      table = undefined
      continue
    }
    // Text behind the last newline is a line that was not written to its end.
    if (last) break
    if (line.startsWith('*')) {
      open = line.slice(1)
      if (table) throw wrong('a table inside a table')
      table = dump.get(open) ?? new Map()
      dump.set(open, table)
      continue
    }
    if (!table) throw wrong('outside of any table')
    const chain = CHAIN.exec(line)
    if (chain) {
      table.set(chain[1]!, { policy: chain[2]!, packets: Number(chain[3] ?? 0), bytes: Number(chain[4] ?? 0), rules: [] })
      continue
    }
    const rule = RULE.exec(line)
    if (!rule) throw wrong('neither a chain nor a rule')
    const owner = table.get(rule[4]!)
    if (!owner) throw wrong('a rule of a chain that is not declared')
    owner.rules.push({ text: rule[3]!, packets: Number(rule[1] ?? 0), bytes: Number(rule[2] ?? 0), line: index + 1 })
  }
  if (table) notes.push(`${file}: it ends inside table ${open}; what follows is missing`)
  return dump
}

/** The rules of a dump as observations. @param place where it was taken */
export function ruleObservations(
  dump: RuleDump,
  file: string,
  place: Pick<RuleObservation, 'node' | 'netns' | 'snapshot' | 'family'>,
): RuleObservation[] {
  const found: RuleObservation[] = []
  for (const [table, chains] of dump) {
    for (const [chain, { rules }] of chains) {
      for (const [position, { text, packets, bytes, line }] of rules.entries()) {
        found.push({ kind: 'rule', ref: `${file}#L${line}`, ...place, table, chain, position, rule: text, packets, bytes })
      }
    }
  }
  return found
}
