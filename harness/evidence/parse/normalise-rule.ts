import type { RuleDump } from './iptables-save.ts'

/**
 * One text for one meaning, so that rules as people and agents write them, and as iptables-save of either backend prints them, can be compared:
 * addresses with a mask, marks in hex, `-m tcp` where it is implied, matches in alphabetical order, long spellings (iptables-save(8), iptables-extensions(8)).
 * @param rule `-A CHAIN …`, counters allowed; @param family for the mask of a bare address
 */
export function normaliseRule(rule: string, family: 'ip' | 'ip6' = 'ip'): string {
  const words = tokens(rule.replace(/^\[\d+:\d+\] /, ''))
  const head = new Map<string, string>()
  const matches: Group[] = []
  let target: Group | undefined
  let chain = ''
  let protocol = ''
  let current: Group | undefined
  for (let i = 0; i < words.length; ) {
    const negated = words[i] === '!'
    if (negated) i++
    const option = LONG[words[i] ?? ''] ?? words[i] ?? ''
    const values: string[] = []
    for (i++; i < words.length && words[i] !== '!' && !/^--?[a-zA-Z]/.test(words[i]!); i++) values.push(words[i]!)
    const value = values.join(' ')
    const text = `${negated ? '! ' : ''}${option}${value && ` ${value}`}`
    if (option === '-A') chain = value
    else if (option === '-m') {
      current = { name: value, options: [] }
      matches.push(current)
    } else if (option === '-j' || option === '-g') {
      target = { name: text, options: [] }
      current = target
    } else if (HEAD.includes(option)) {
      if (option === '-p') {
        protocol = value
        current = undefined
      }
      if (value !== '0.0.0.0/0' && value !== '::/0') head.set(option, ADDRESS.includes(option) ? withMask(text, family) : text)
    } else {
      const ported = PORTED.includes(option) && !target && !['tcp', 'udp', 'sctp', 'dccp', 'multiport'].includes(current?.name ?? '')
      if (ported || !current) {
        current = matches.find((match) => match.name === protocol)
        if (!current) {
          current = { name: protocol, options: [] }
          matches.push(current)
        }
      }
      current.options.push(normaliseOption(text))
    }
  }
  if (target) completeTarget(target)
  // A protocol match without options says no more than `-p`.
  const kept = matches
    .filter((match) => match.options.length > 0 || match.name !== protocol)
    .map((match) => ['-m', match.name, ...match.options].join(' '))
  return [`-A ${chain}`, ...HEAD.map((option) => head.get(option)), ...kept.sort(), target && [target.name, ...target.options].join(' ')]
    .filter(Boolean)
    .join(' ')
}

interface Group {
  readonly name: string
  readonly options: string[]
}

const HEAD = ['-s', '-d', '-i', '-o', '-p', '-f']
const ADDRESS = ['-s', '-d']
const PORTED = ['--dport', '--sport', '--tcp-flags', '--syn', '--tcp-option']
const LONG: Readonly<Record<string, string>> = {
  '--append': '-A',
  '--source': '-s',
  '--src': '-s',
  '--destination': '-d',
  '--dst': '-d',
  '--in-interface': '-i',
  '--out-interface': '-o',
  '--protocol': '-p',
  '--proto': '-p',
  '--fragment': '-f',
  '--match': '-m',
  '--jump': '-j',
  '--goto': '-g',
  '--destination-port': '--dport',
  '--source-port': '--sport',
  '--to-port': '--to-ports',
}

function tokens(text: string): string[] {
  return text.match(/"(?:[^"\\]|\\.)*"|\S+/g) ?? []
}

function withMask(text: string, family: 'ip' | 'ip6'): string {
  return text.includes('/') ? text : `${text}/${family === 'ip' ? 32 : 128}`
}

/** Marks in lower-case hex: `1337/4095` is `0x539/0xfff`. */
function normaliseOption(text: string): string {
  const [, option, value, mask] = /^((?:! )?--(?:mark|set-x?mark|tproxy-mark|nfmask|ctmask)) (\w+)(?:\/(\w+))?$/.exec(text) ?? []
  if (!option) return text
  const hex = (number: number) => `0x${number.toString(16)}`
  const v = Number(value)
  // --set-mark V/M clears M and ors V: as xor that is V/(M|V). Without a mask all bits count.
  if (option === '--set-mark') return `--set-xmark ${hex(v)}/${hex((Number(mask ?? 0xffffffff) | v) >>> 0)}`
  return `${option} ${hex(v)}${mask === undefined ? '' : `/${hex(Number(mask))}`}`
}

function completeTarget(target: Group): void {
  const moves = target.options.includes('--restore-mark') || target.options.includes('--save-mark')
  if (target.name === '-j CONNMARK' && moves && !target.options.some((option) => option.startsWith('--nfmask'))) {
    target.options.push('--nfmask 0xffffffff', '--ctmask 0xffffffff')
  }
}

/** How a chain differs from what was expected. Rules are normalised. */
export interface ChainDifference {
  readonly table: string
  readonly chain: string
  readonly missing: readonly string[]
  readonly unexpected: readonly string[]
  /** The same rules in another order. */
  readonly reordered: boolean
}

/**
 * Compares two dumps table by table and chain by chain (backends print tables in different order). Counters and base chains' policies of empty chains don't count.
 * @param chains which chains to compare, by default all of both
 */
export function compareRules(
  expected: RuleDump,
  actual: RuleDump,
  family: 'ip' | 'ip6' = 'ip',
  chains: (table: string, chain: string) => boolean = () => true,
): ChainDifference[] {
  const differences: ChainDifference[] = []
  for (const table of new Set([...expected.keys(), ...actual.keys()])) {
    const names = new Set([...(expected.get(table)?.keys() ?? []), ...(actual.get(table)?.keys() ?? [])])
    for (const chain of names) {
      if (!chains(table, chain)) continue
      const rules = (dump: RuleDump) => (dump.get(table)?.get(chain)?.rules ?? []).map((rule) => normaliseRule(rule.text, family))
      const want = rules(expected)
      const have = rules(actual)
      const missing = without(want, have)
      const unexpected = without(have, want)
      const reordered = missing.length === 0 && unexpected.length === 0 && want.some((rule, i) => rule !== have[i])
      if (missing.length > 0 || unexpected.length > 0 || reordered) differences.push({ table, chain, missing, unexpected, reordered })
    }
  }
  return differences
}

/** Multiset difference. */
function without(from: readonly string[], taken: readonly string[]): string[] {
  const rest = [...taken]
  return from.filter((rule) => {
    const at = rest.indexOf(rule)
    if (at >= 0) rest.splice(at, 1)
    return at < 0
  })
}
