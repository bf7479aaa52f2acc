import type { Rule } from './rule.ts'

/** What iptables-save shows: table → chain → rules in order, each without `-A CHAIN`. */
export type Saved = ReadonlyMap<string, ReadonlyMap<string, readonly string[]>>

/** Tells the chains that are ours to change from those that are not. */
export type Owns = (chain: string) => boolean

/** Parses the output of iptables-save or ip6tables-save, with or without counters. @throws TypeError on a line it does not understand */
export function parseSave(text: string): Saved {
  const tables = new Map<string, Map<string, string[]>>()
  let table: Map<string, string[]> | undefined
  for (const [index, line] of text.split('\n').entries()) {
    if (line === '' || line.startsWith('#')) continue
    const bad = () => new TypeError(`iptables-save line ${index + 1} not understood: ${JSON.stringify(line)}`)
    if (line.startsWith('*')) {
      table = new Map()
      tables.set(line.slice(1).trim(), table)
    } else if (!table) throw bad()
    else if (line.startsWith(':')) table.set(line.slice(1).split(' ', 1)[0]!, [])
    else if (line === 'COMMIT') table = undefined
    else {
      const rule = /^(?:\[\d+:\d+\] )?-A (\S+) ?(.*)$/.exec(line)
      if (!rule) throw bad()
      const chain = table.get(rule[1]!)
      if (!chain) throw bad()
      chain.push(rule[2]!)
    }
  }
  return tables
}

/**
 * A rule's text with its options in one fixed order and the implied `-m tcp` and `-m udp` left out:
 * versions of iptables-save print the same rule in different order.
 */
export function canonical(spec: string): string {
  const options: string[] = []
  let negated = false
  for (const word of spec.split(/\s+/).filter((w) => w !== '')) {
    if (word === '!') negated = true
    else if (word.startsWith('-') || negated) {
      options.push(negated ? `! ${word}` : word)
      negated = false
    } else options[options.length - 1] = `${options.at(-1) ?? ''} ${word}`
  }
  return options
    .filter((o) => o !== '-m tcp' && o !== '-m udp')
    .sort()
    .join(' ')
}

export interface Difference {
  /** Something of ours is there. */
  readonly residue: boolean
  /** Rules that are expected and not there. */
  readonly missing: readonly Rule[]
  /** All there, in order, once, and nothing else of ours. */
  readonly equal: boolean
}

/** Compares what is there with what should be, looking only at owned chains and at the jumps into them. Stricter than upstream: order counts. */
export function compare(saved: Saved, wanted: readonly Rule[], owns: Owns): Difference {
  const expected = new Map<string, Rule[]>()
  for (const { table, chain } of wantedChains(wanted, owns)) expected.set(`${table} ${chain}`, [])
  for (const rule of wanted) push(expected, `${rule.table} ${rule.chain}`, rule)
  const found = new Map<string, { specs: string[]; first: boolean }>()
  for (const [table, chains] of saved)
    for (const [chain, rules] of chains) {
      const ours = owns(chain) ? rules : rules.filter((r) => jumpsInto(r, owns))
      if (owns(chain) || ours.length > 0)
        found.set(`${table} ${chain}`, { specs: ours.map(canonical), first: rules[0] === ours[0] && ours.length > 0 })
    }
  const missing = wanted.filter((r) => !found.get(`${r.table} ${r.chain}`)?.specs.includes(canonical(r.spec)))
  const same = (key: string) => {
    const want = expected.get(key)
    const have = found.get(key)
    if (!want || have?.specs.join('\n') !== want.map((r) => canonical(r.spec)).join('\n')) return false
    return want.every((r) => r.position !== 1 || have.first)
  }
  const keys = new Set([...expected.keys(), ...found.keys()])
  return { residue: found.size > 0, missing, equal: [...keys].every(same) }
}

/**
 * Input for `iptables-restore --noflush` that leaves exactly `wanted` in the owned chains, each table in one transaction:
 * at no moment is a captured pod without its rules. Tables in alphabetical order, as upstream writes them.
 */
export function replaceText(saved: Saved, wanted: readonly Rule[], owns: Owns): string {
  const tables = new Set<string>(wanted.map((r) => r.table))
  for (const [table, chains] of saved) if (ownedIn(chains, owns)) tables.add(table)
  return [...tables]
    .sort()
    .map((table) => {
      const rules = wanted.filter((r) => r.table === table)
      const chains = saved.get(table) ?? new Map<string, string[]>()
      const keep = new Set(wantedChains(rules, owns).map((c) => c.chain))
      const drop = [...chains.keys()].filter((c) => owns(c) && !keep.has(c))
      return block(table, [
        // Declaring a chain makes it, or empties it.
        ...[...keep].map((c) => `:${c} - [0:0]`),
        ...removeJumps(chains, owns),
        ...drop.map((c) => `-F ${c}`),
        ...drop.map((c) => `-X ${c}`),
        ...rules.map((r) => (r.position ? `-I ${r.chain} ${r.position} ${r.spec}` : `-A ${r.chain} ${r.spec}`)),
      ])
    })
    .join('')
}

/** Input for `iptables-restore --noflush` that takes everything owned away: jumps, then contents, then chains. Empty when there is nothing. */
export function removeText(saved: Saved, owns: Owns): string {
  return replaceText(saved, [], owns)
}

/** Input for `iptables-restore --noflush` that takes away the jumps into owned chains of one table. Empty when there are none. */
export function unhookText(saved: Saved, table: string, owns: Owns): string {
  const jumps = removeJumps(saved.get(table) ?? new Map(), owns)
  return jumps.length > 0 ? block(table, jumps) : ''
}

/** Owned chains that the rules fill or lead to: one that is led to may have none. */
function wantedChains(rules: readonly Rule[], owns: Owns): { readonly table: string; readonly chain: string }[] {
  const filled = rules.map(({ table, chain }) => ({ table, chain }))
  const led = rules.map(({ table, spec }) => ({ table, chain: jumpTarget(spec) ?? '' }))
  return [...filled, ...led].filter(({ chain }) => owns(chain))
}

function removeJumps(chains: ReadonlyMap<string, readonly string[]>, owns: Owns): string[] {
  return [...chains].flatMap(([chain, rules]) =>
    owns(chain) ? [] : rules.filter((r) => jumpsInto(r, owns)).map((r) => `-D ${chain} ${r}`),
  )
}

function ownedIn(chains: ReadonlyMap<string, readonly string[]>, owns: Owns): boolean {
  return [...chains].some(([chain, rules]) => owns(chain) || rules.some((r) => jumpsInto(r, owns)))
}

function jumpsInto(rule: string, owns: Owns): boolean {
  const target = jumpTarget(rule)
  return target !== undefined && owns(target)
}

function jumpTarget(rule: string): string | undefined {
  return /(?:^| )-[jg] (\S+)/.exec(rule)?.[1]
}

function block(table: string, lines: readonly string[]): string {
  return `*${table}\n${lines.join('\n')}\nCOMMIT\n`
}

function push<K, V>(map: Map<K, V[]>, key: K, value: V): void {
  const list = map.get(key)
  if (list) list.push(value)
  else map.set(key, [value])
}
